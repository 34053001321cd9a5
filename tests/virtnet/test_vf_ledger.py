"""PF -> VF -> guest, and what is wanted against what is."""

from __future__ import annotations

from time import process_time
from typing import Any

from tests.virtnet.samples import host_with, link, network, owner, pf, vf
from virtnet.facts import HostFacts
from virtnet.vf import VfAttributes
from virtnet.vf_ledger import VfRow, find_vf, ledger


def rows(facts: HostFacts) -> tuple[VfRow, ...]:
    (row,) = ledger(facts)
    return row.rows


def differences(row: VfRow) -> list[tuple[str, object, object, str]]:
    return [(one.attribute, one.wanted, one.actual, one.by) for one in row.differences]


def test_a_vf_that_nobody_has_is_free() -> None:
    assert [row.is_free for row in rows(host_with(pf(vf(0), vf(1))))] == [True, True]


def test_the_guest_that_owns_a_vf_now_stands_before_those_that_wait_for_it() -> None:
    now = owner("web1", "0000:01:10.0")
    later = owner("db1", "0000:01:10.0", live=False)
    (row,) = rows(host_with(pf(vf(0)), domains=(later, now)))
    assert row.holder is not None
    assert row.holder.guest.name == "web1"
    assert [holder.guest.name for holder in row.waiting] == ["db1"]
    assert not row.is_free


def test_a_guest_on_macvtap_in_passthrough_owns_the_vf_whose_link_it_has() -> None:
    direct: dict[str, Any] = {"type": "direct", "source": "ens1f0v0", "source_mode": "passthrough", "vf": None}
    facts = host_with(pf(vf(0, link="ens1f0v0")), domains=(owner("web1", "", **direct),))
    holder = rows(facts)[0].holder
    assert holder is not None
    assert holder.guest.name == "web1"


def test_so_does_one_to_whom_a_network_gave_that_link() -> None:
    card: dict[str, Any] = {"type": "network", "source": "own", "own_link": "ens1f0v1", "vf": None}
    links = (vf(0, link="ens1f0v0"), vf(1, link="ens1f0v1"))
    facts = host_with(pf(*links), domains=(owner("web1", "", **card),))
    assert [row.holder.guest.name if row.holder else None for row in rows(facts)] == [None, "web1"]


def test_a_network_hands_out_all_vfs_of_its_pf_or_those_that_it_lists() -> None:
    all_of_them = network("fast", "sriov", pfs=("ens1f0",), devs=("ens1f0",))
    one = network("some", "sriov", vfs=("0000:01:10.2",))
    facts = host_with(pf(vf(0), vf(1)), networks=(all_of_them, one))
    assert [[pool.name for pool in row.pools] for row in rows(facts)] == [["fast"], ["fast", "some"]]
    assert [pool.name for pool in ledger(facts)[0].pools] == ["fast", "some"]


def test_what_is_not_as_wanted_is_a_difference() -> None:
    wanted = VfAttributes(vlan=42, spoofchk=False, trust=True, max_tx_rate=100)
    facts = host_with(pf(vf(0, vlan=7, spoofchk=False, max_tx_rate=100, wanted=wanted)))
    assert differences(rows(facts)[0]) == [("vlan", 42, 7, "panel"), ("trust", True, None, "panel")]
    assert ledger(facts)[0].differing == 1


def test_what_nobody_wants_is_no_difference() -> None:
    assert rows(host_with(pf(vf(0, vlan=7, mac="52:54:00:00:00:07"))))[0].differences == ()


def test_while_a_guest_owns_it_the_guest_s_card_says_the_mac_and_the_vlan() -> None:
    wanted = VfAttributes(mac="52:54:00:00:00:99", vlan=42)
    card: dict[str, Any] = {"type": "network", "source": "fast", "mac": "52:54:00:00:00:42"}
    facts = host_with(
        pf(vf(0, mac="52:54:00:00:00:42", vlan=7, wanted=wanted)),
        networks=(network("fast", "sriov", pfs=("ens1f0",), vlan=7),),
        domains=(owner("web1", "0000:01:10.0", **card),),
    )
    assert rows(facts)[0].differences == ()
    stale = facts.model_copy(update={"networks": (network("fast", "sriov", pfs=("ens1f0",)),)})
    assert differences(rows(stale)[0]) == [("vlan", 0, 7, "guest")]


def test_another_number_than_the_panel_set_is_told() -> None:
    assert ledger(host_with(pf(vf(0), wanted_numvfs=4)))[0].count_differs
    assert not ledger(host_with(pf(vf(0), wanted_numvfs=1)))[0].count_differs
    assert not ledger(host_with(pf(vf(0))))[0].count_differs


def test_a_vf_is_found_by_its_pci_address() -> None:
    facts = host_with(pf(vf(0), vf(1)), link("eth9", totalvfs=4))
    found = find_vf(facts, "0000:01:10.2")
    assert found is not None
    assert (found[0].name, found[1].index) == ("ens1f0", 1)
    assert find_vf(facts, "0000:09:10.2") is None


def test_very_many_vfs_and_cards_take_it_no_time() -> None:
    """The collector looks at it for each host's facts, and one host must not keep it from the others."""
    vfs = [vf(n) for n in range(10_000)]
    facts = host_with(pf(*vfs), domains=tuple(owner(f"g{one.index}", one.pci_address) for one in vfs))
    begun = process_time()
    assert sum(row.holder is not None for row in rows(facts)) == 10_000
    assert process_time() - begun < 5  # a tenth of it; a search through all cards for each VF takes ten times as much
