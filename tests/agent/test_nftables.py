"""libnftables in this process, in a kernel of its own."""

import ctypes
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmagent import nftables
from kvmagent.firewall import Firewall, FirewallFailed
from tests.agent.conftest import CLONE_NEWNET

TABLE = "add table inet mine\nadd chain inet mine forward\nadd rule inet mine forward counter drop\n"


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nftables, "LIBRARY", "libnftables.so.none")
    nftables._library.cache_clear()
    yield
    nftables._library.cache_clear()


@pytest.mark.usefixtures("own_network")
def test_it_says_what_the_program_nft_says() -> None:
    assert nftables.run(TABLE) == ""
    listed = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout
    assert "counter packets 0 bytes 0 drop" in listed
    assert nftables.run("list ruleset") == listed


@pytest.mark.usefixtures("own_network")
def test_it_lists_objects() -> None:
    nftables.run(TABLE)
    tables = [one["table"] for one in nftables.run_json("list tables") if "table" in one]
    assert [(table["family"], table["name"]) for table in tables] == [("inet", "mine")]


@pytest.mark.usefixtures("own_network")
def test_commands_that_fail_half_way_do_nothing() -> None:
    with pytest.raises(nftables.NftError, match="No such file or directory"):
        nftables.run("add table inet mine\nadd rule inet mine nowhere drop\n")
    assert nftables.run("list tables") == ""


@pytest.mark.usefixtures("own_network")
def test_a_mistake_is_said_in_one_line() -> None:
    with pytest.raises(nftables.NftError, match=r"^Error: syntax error[^\n]*$"):
        nftables.run("make it so\n")


@pytest.mark.usefixtures("own_network")
def test_it_sees_what_another_program_has_changed_since() -> None:
    nftables.run(TABLE)
    assert "drop" in nftables.run("list table inet mine")
    subprocess.run(["nft", "flush", "table", "inet", "mine"], check=True)
    assert "drop" not in nftables.run("list table inet mine")
    subprocess.run(["nft", "delete", "table", "inet", "mine"], check=True)
    assert nftables.run("list tables") == ""
    assert nftables.run(TABLE) == ""


@pytest.mark.usefixtures("own_network")
def test_a_command_after_a_mistake_is_as_good_as_any() -> None:
    with pytest.raises(nftables.NftError):
        nftables.run("list table inet nowhere")
    nftables.run(TABLE)
    assert nftables.run("list tables") == "table inet mine\n"


@pytest.mark.usefixtures("own_network")
def test_another_thread_in_another_network_changes_its_own() -> None:
    nftables.run(TABLE)
    found: list[str] = []

    def elsewhere() -> None:
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        found.append(nftables.run("list tables"))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [""]
    assert nftables.run("list tables") == "table inet mine\n"


@pytest.mark.usefixtures("no_library")
def test_a_host_without_the_library_is_told_which_package_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(nftables.NoNftables):
        nftables.run("list tables")
    with pytest.raises(FirewallFailed, match="Install the package nftables"):
        Firewall(tmp_path / "kvmpanel.nft").now()
