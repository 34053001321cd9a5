"""The table of our own in a kernel of its own: loaded whole, kept for the boot, put back."""

import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from kvmagent.firewall import Firewall, FirewallFailed, Former
from virtnet.firewall import NetworkRules, ruleset

pytestmark = pytest.mark.usefixtures("own_network")

OFFICE = NetworkRules(bridge="virbr1", subnet=IPv4Network("10.1.0.0/24"), masquerade=True)
CLOSED = NetworkRules(bridge="virbr2", subnet=IPv4Network("10.2.0.0/24"), masquerade=False)


@pytest.fixture
def firewall(tmp_path: Path) -> Firewall:
    return Firewall(tmp_path / "state" / "kvmpanel.nft")


def nft(*arguments: str) -> str:
    return subprocess.run(["nft", *arguments], check=True, capture_output=True, text=True).stdout


def test_a_loaded_table_is_held_and_an_edited_one_is_not(firewall: Firewall) -> None:
    wanted = ruleset([OFFICE, CLOSED])
    assert not firewall.holds(wanted, firewall.now())
    firewall.load(wanted)
    assert firewall.holds(wanted, firewall.now())
    nft("add", "rule", "inet", "kvmpanel", "forward", "accept")
    assert not firewall.holds(wanted, firewall.now())


def test_a_table_that_was_flushed_is_not_held(firewall: Firewall) -> None:
    firewall.load(ruleset([OFFICE]))
    nft("flush", "ruleset")
    assert not firewall.holds(ruleset([OFFICE]), firewall.now())


def test_a_file_that_is_missing_is_not_held(firewall: Firewall, tmp_path: Path) -> None:
    firewall.load(ruleset([OFFICE]))
    (tmp_path / "state" / "kvmpanel.nft").unlink()
    assert not firewall.holds(ruleset([OFFICE]), firewall.now())


def test_the_former_table_and_file_come_back(firewall: Firewall) -> None:
    firewall.load(ruleset([OFFICE]))
    former = firewall.now()
    firewall.load(ruleset([OFFICE, CLOSED]))
    firewall.restore(former)
    assert firewall.now() == former
    assert firewall.holds(ruleset([OFFICE]), former)


def test_where_there_was_no_table_there_is_none_again(firewall: Firewall) -> None:
    former = firewall.now()
    assert former == Former(table=None, file=None)
    firewall.load(ruleset([OFFICE]))
    firewall.restore(former)
    assert firewall.now() == former
    assert nft("list", "tables") == ""


def test_a_text_that_nft_refuses_changes_nothing(firewall: Firewall) -> None:
    firewall.load(ruleset([OFFICE]))
    before = firewall.now()
    with pytest.raises(FirewallFailed, match="nft refused"):
        firewall.load(ruleset([CLOSED]).replace(" drop", " drop-it", 1))
    assert firewall.now() == before


def test_foreign_tables_are_left_alone(firewall: Firewall) -> None:
    nft("add", "table", "ip", "somebody")
    former = firewall.now()
    firewall.load(ruleset([OFFICE]))
    firewall.restore(former)
    assert nft("list", "tables").split() == ["table", "ip", "somebody"]


def test_what_lies_in_the_file_is_what_was_loaded(firewall: Firewall, tmp_path: Path) -> None:
    firewall.load(ruleset([OFFICE]))
    listed = nft("list", "table", "inet", "kvmpanel")
    nft("flush", "ruleset")
    nft("-f", str(tmp_path / "state" / "kvmpanel.nft"))
    assert nft("list", "table", "inet", "kvmpanel") == listed
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["kvmpanel.nft"]
