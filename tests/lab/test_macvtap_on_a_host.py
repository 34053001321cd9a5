"""macvtap on a real host: who reaches whom in each submode, with packets of a real guest; a network and a lone card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import get_args

import pytest

from lab import Lab, LabGuest, LabHost, links
from lab.machine import LabMachine
from lab.probe import Probe
from tests.lab.agent_cli import apply, attach, detach, domain, facts, must_apply, network
from tests.lab.pings import before_long
from virtnet.actions import AttachInterface
from virtnet.direct import SourceMode
from virtnet.facts import InterfaceFacts
from virtnet.interface import DirectSource, InterfaceSpec
from virtnet.modes.macvtap import Macvtap

pytestmark = pytest.mark.lab

MAC = "52:54:00:aa:00:03"
SOURCE_MODES: tuple[SourceMode, ...] = get_args(SourceMode)
SHARED: tuple[SourceMode, ...] = ("bridge", "vepa", "private")


def link_for(source_mode: SourceMode) -> str:
    """eth0 carries the host itself; passthrough needs a link that the host does not use."""
    return "eth0" if source_mode in SHARED else "eth1"


def straight(guest: LabGuest, source: DirectSource) -> AttachInterface:
    return AttachInterface(domain=domain(guest), interface=InterfaceSpec(source=source, mac=MAC))


@contextmanager
def plugged(host: LabHost, guest: LabGuest, order: AttachInterface) -> Iterator[IPv4Address]:
    """A card for the length of a `with`; gives its address on the LAN."""
    assert must_apply(host, order)[-1] == "done"
    try:
        yield guest.wait_address().ip
    finally:
        assert must_apply(host, detach(guest, MAC))[0] == "done"


def card(host: LabHost, guest: LabGuest) -> InterfaceFacts:
    found = facts(host).domain(guest.uuid)
    assert found is not None
    (there,) = [one for one in found.interfaces if one.mac == MAC]
    return there


def from_guest(guest: LabGuest, address: object) -> bool:
    return guest.run(f"ping -c1 -W1 {address}")[0] == 0


def from_machine(machine: LabMachine, address: object) -> bool:
    return machine.run(["ping", "-c1", "-W1", str(address)], check=False).returncode == 0


@contextmanager
def another_guest(lab: Lab, spec: Macvtap) -> Iterator[Probe]:
    """A stand-in for a second guest: on the same link; where that has one guest only, on a link of the other host."""
    host = lab.hosts[0 if spec.source_mode in SHARED else 1]
    was_up = links.is_up(host.namespace, spec.uplink)
    links.set_state(host.namespace, spec.uplink, "up")
    try:
        with lab.probe(host, spec.uplink, "guest2", spec.source_mode) as other:
            yield other
    finally:
        if not was_up:
            links.set_state(host.namespace, spec.uplink, "down")


def measure(lab: Lab, host: LabHost, guest: LabGuest, address: IPv4Address, other: Probe) -> dict[str, bool]:
    """The cells of Reachability, each true when packets went both ways. Nobody knows a neighbour from before."""
    for machine in (host, other):
        machine.run(["ip", "neigh", "flush", "all"])
    guest.run("ip neigh flush all")
    with_host = (from_guest(guest, host.address), from_machine(host, address))
    with_other = (from_guest(guest, other.address), from_machine(other, address))
    return {
        "guest_to_internet": from_guest(guest, lab.internet.address),
        "guest_to_host": all(with_host),
        "guest_to_lan": from_guest(guest, lab.client.address),
        "lan_to_guest": from_machine(lab.client, address),
        "guest_to_guest": all(with_other),
    }


def measured_again(measuring: Callable[[], dict[str, bool]], expected: set[str]) -> dict[str, bool]:
    """Up to three times until it is as expected: an emulated guest may answer late, and who is cut off never does."""
    for _ in range(2):
        if reached_in(measured := measuring()) == expected:
            return measured
    return measuring()


def reached_in(measured: dict[str, bool]) -> set[str]:
    return {cell for cell, reached in measured.items() if reached}


# Who is reached through an ordinary switch, beside the LAN and the Internet, which each submode reaches; and who more
# when the switch sends frames back to where they came from.
OVER_A_SWITCH: dict[SourceMode, set[str]] = {
    "bridge": {"guest_to_guest"},
    "vepa": set(),
    "private": set(),
    "passthrough": {"guest_to_host", "guest_to_guest"},  # the host by its eth0, the other guest by its own link
}
SENT_BACK: dict[SourceMode, set[str]] = {
    "bridge": {"guest_to_host"},
    "vepa": {"guest_to_host", "guest_to_guest"},
    "private": set(),
    "passthrough": set(),
}
ALWAYS = {"guest_to_internet", "guest_to_lan", "lan_to_guest"}


@pytest.mark.parametrize("source_mode", SOURCE_MODES)
def test_who_reaches_whom(lab: Lab, host: LabHost, guest: LabGuest, source_mode: SourceMode) -> None:
    spec = Macvtap(name="direct", uplink=link_for(source_mode), source_mode=source_mode)
    with (
        network(host, spec),
        plugged(host, guest, attach(guest, spec.name, MAC)) as address,
        another_guest(lab, spec) as other,
    ):
        direct = ALWAYS | OVER_A_SWITCH[source_mode]
        measured = measured_again(lambda: measure(lab, host, guest, address, other), direct)
        with host.reflecting_switch():
            everybody = direct | SENT_BACK[source_mode]
            sent_back = measured_again(lambda: measure(lab, host, guest, address, other), everybody)
    assert reached_in(measured) == direct
    assert reached_in(sent_back) - reached_in(measured) == SENT_BACK[source_mode]
    told = {cell: answer.reachable for cell, answer in spec.reachability().rows()}
    assert {cell for cell, reached in measured.items() if not reached and told[cell] == "yes"} == set()
    assert {cell for cell, reached in measured.items() if reached and told[cell] == "no"} == set()


@pytest.mark.parametrize("source_mode", SOURCE_MODES)
def test_a_card_goes_straight_on_a_link_and_comes_off_again(
    lab: Lab, host: LabHost, guest: LabGuest, source_mode: SourceMode
) -> None:
    link = link_for(source_mode)
    before = host.run(["cat", f"/sys/class/net/{link}/address"]).stdout
    order = straight(guest, DirectSource(link=link, mode=source_mode, trust_guest_rx_filters=source_mode == "private"))
    with plugged(host, guest, order):
        assert before_long(from_guest, guest, lab.internet.address)
        found = card(host, guest)
        assert (found.type, found.source, found.source_mode) == ("direct", link, source_mode)
        assert (found.live, found.persistent) == (True, True)
        (macvtap,) = [one for one in facts(host).links if one.name == found.target]
        assert (macvtap.kind, macvtap.parent, macvtap.mac) == ("macvtap", link, MAC)
        assert set(must_apply(host, order)) == {"already-so"}
        trusted = "trustGuestRxFilters='yes'" in guest.domain().XMLDesc()
        assert trusted == (source_mode == "private")
    assert must_apply(host, detach(guest, MAC)) == ["already-so"]
    assert host.run(["cat", f"/sys/class/net/{link}/address"]).stdout == before
    assert [one.name for one in facts(host).links if one.kind == "macvtap"] == []


def test_the_host_does_not_answer_on_a_link_that_a_guest_owns(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    """Else the LAN learns the guest's MAC address for the host's IP address, and the host is cut off."""
    before = snapshot_of(host)
    assert must_apply(host, straight(guest, DirectSource(link="eth1", mode="passthrough")))[0] == "done"
    try:
        guest.wait_address()
        for _ in range(5):
            lab.client.run(["ip", "neigh", "flush", "all"])
            assert from_machine(lab.client, host.address)
        host_s_own = links.mac_address(host.namespace, "eth0")
        asked = lab.client.run(["busybox", "arping", "-c", "3", "-I", "eth0", str(host.address)], check=False).stdout
        assert {line.split("[")[1][:17] for line in asked.splitlines() if "reply" in line} == {host_s_own}
        assert "arp_ignore = 8" in host.run(["cat", "/etc/sysctl.d/90-kvmpanel-eth1.conf"]).stdout
    finally:
        assert must_apply(host, detach(guest, MAC)) == ["done", "done"]
    assert host.run(["test", "-e", "/etc/sysctl.d/90-kvmpanel-eth1.conf"], check=False).returncode == 1
    assert snapshot_of(host) == before


def snapshot_of(host: LabHost) -> dict[str, str]:
    """What passthrough touches on eth1."""
    files = ("class/net/eth1/address", "class/net/eth1/mtu")
    switches = ("ipv4/conf/eth1/arp_ignore", "ipv6/conf/eth1/disable_ipv6")
    paths = [*(f"/sys/{name}" for name in files), *(f"/proc/sys/net/{name}" for name in switches)]
    return {path: host.run(["cat", path]).stdout for path in paths}


def test_passthrough_never_takes_the_link_that_carries_the_host(host: LabHost, guest: LabGuest) -> None:
    status, steps, said = apply(host, straight(guest, DirectSource(link="eth0", mode="passthrough")))
    assert (status, steps) == (1, [])
    assert "eth0 carries this host's default route: a guest that owns it would cut the host off." in said


def test_a_link_in_passthrough_takes_no_second_card(host: LabHost, guest: LabGuest) -> None:
    with plugged(host, guest, straight(guest, DirectSource(link="eth1", mode="passthrough"))):
        second = InterfaceSpec(source=DirectSource(link="eth1"), mac="52:54:00:aa:00:04")
        status, steps, said = apply(host, AttachInterface(domain=domain(guest), interface=second))
    assert (status, steps) == (1, [])
    assert f"eth1 carries the card {MAC} of {guest.name}, and passthrough needs a link for itself." in said


@pytest.mark.parametrize("trusted", [False, True])
def test_only_a_trusted_guest_is_reached_by_ipv6_at_any_address_and_may_change_its_mac(
    lab: Lab, host: LabHost, guest: LabGuest, trusted: bool
) -> None:
    lab.client.run(["ip", "address", "add", "fd00:77::9/64", "dev", "eth0", "nodad"])
    try:
        with plugged(host, guest, straight(guest, DirectSource(link="eth0", trust_guest_rx_filters=trusted))):
            # Neighbours ask for this address by a multicast group that has nothing to do with the card's MAC address.
            settled = "while ip -6 address show dev eth0 | grep -q tentative; do sleep 0.1; done"
            assert guest.run(f"ip address add fd00:77::1234/64 dev eth0; {settled}")[0] == 0
            asked = lab.client.run(["ping", "-6", "-c4", "-W1", "fd00:77::1234"], check=False)
            assert (asked.returncode == 0) == trusted
            assert before_long(from_guest, guest, lab.client.address)
            assert guest.run("ip link set eth0 address 52:54:00:aa:00:77")[0] == 0
            assert guest.run("ip neigh flush all")[0] == 0
            answered = [from_guest(guest, lab.client.address) for _ in range(3)]
            assert any(answered) == trusted
    finally:
        lab.client.run(["ip", "address", "del", "fd00:77::9/64", "dev", "eth0"])
