"""The agent's verbs on a real host: its libvirtd, its nftables, a running guest, and packets."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from uuid import UUID

import pytest

from lab import Lab, LabGuest, LabHost, LabMachine
from tests.lab.agent_cli import apply, attach, define, detach, facts, must_apply, network, ref, undefine
from tests.lab.pings import before_long
from virtnet.actions import AttachInterface, DetachInterface, UpdateNetwork
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.modes.bridge import Bridge
from virtnet.modes.host_only import HostOnly
from virtnet.modes.macvtap import Macvtap
from virtnet.modes.nat import Nat
from virtnet.refs import DomainRef

pytestmark = pytest.mark.lab

MAC = "52:54:00:aa:00:01"
NAT = Nat(
    name="office",
    bridge="virbr11",
    gateway=IPv4Interface("10.99.1.1/24"),
    first_lease=IPv4Address("10.99.1.10"),
    last_lease=IPv4Address("10.99.1.50"),
)
HOST_ONLY = HostOnly(
    name="closed",
    bridge="virbr12",
    host_address=IPv4Interface("10.99.2.1/24"),
    first_lease=IPv4Address("10.99.2.10"),
    last_lease=IPv4Address("10.99.2.50"),
)


@contextmanager
def plugged(host: LabHost, guest: LabGuest, network_name: str) -> Iterator[IPv4Interface]:
    """A card hot-plugged into the network; gives its lease."""
    assert must_apply(host, attach(guest, network_name, MAC)) == ["done"]
    try:
        yield guest.wait_address()
    finally:
        assert must_apply(host, detach(guest, MAC)) == ["done"]


def reaches(run: Callable[[str], int], address: object) -> bool:
    return run(f"ping -c1 -W2 {address}") == 0


def in_guest(guest: LabGuest) -> Callable[[str], int]:
    return lambda command: guest.run(command)[0]


def from_machine(machine: LabMachine) -> Callable[[str], int]:
    return lambda command: machine.run(command.split(), check=False).returncode


def reached_from_the_lan(lab: Lab, host: LabHost, guest: IPv4Interface) -> bool:
    """By a machine of the LAN that sends what is for the guest's subnet to the host."""
    lab.client.run(["ip", "route", "add", str(guest.network), "via", str(host.address)])
    try:
        assert before_long(reaches, from_machine(lab.client), host.address)
        return reaches(from_machine(lab.client), guest.ip)
    finally:
        lab.client.run(["ip", "route", "del", str(guest.network)])


def same(before: HostFacts, after: HostFacts) -> bool:
    """Alike but for what time alone changes: indexes of links made anew."""

    def plain(found: HostFacts) -> HostFacts:
        return found.model_copy(update={"links": tuple(link.model_copy(update={"index": 0}) for link in found.links)})

    return plain(before) == plain(after)


def card(found: HostFacts, guest: LabGuest) -> InterfaceFacts:
    domain = found.domain(guest.uuid)
    assert domain is not None
    return next(interface for interface in domain.interfaces if interface.mac == MAC)


def test_a_nat_guest_reaches_the_internet_and_the_lan_does_not_reach_it(
    lab: Lab, host: LabHost, guest: LabGuest
) -> None:
    before = facts(host)
    with network(host, NAT):
        assert must_apply(host, define(NAT)) == ["already-so"] * 4
        with plugged(host, guest, NAT.name) as address:
            assert address in NAT.gateway.network
            assert before_long(reaches, in_guest(guest), lab.internet.address)
            assert before_long(reaches, in_guest(guest), NAT.gateway.ip)
            assert before_long(reaches, from_machine(host), address.ip)
            assert before_long(reaches, in_guest(guest), lab.client.address)
            assert not reached_from_the_lan(lab, host, address)
            with lab.probe(host, NAT.bridge, "guest2") as other:
                assert before_long(reaches, in_guest(guest), other.address)
                assert before_long(reaches, from_machine(other), address.ip)
            found = card(facts(host), guest)
            assert (found.type, found.source, found.live, found.persistent) == ("network", NAT.name, True, True)
            assert [(one.address, one.source) for one in found.addresses] == [(address, "lease")]
            assert found.target is not None
            assert must_apply(host, attach(guest, NAT.name, MAC)) == ["already-so"]
        assert must_apply(host, detach(guest, MAC)) == ["already-so"]
    status, steps, said = apply(host, undefine(NAT))
    assert (status, steps) == (1, [])
    assert "no network office" in said
    assert same(before, facts(host))


def test_a_host_only_guest_reaches_the_host_and_nothing_else(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    # A NAT network beside it, so that the host forwards packets at all.
    with network(host, NAT), network(host, HOST_ONLY), plugged(host, guest, HOST_ONLY.name) as address:
        assert address in HOST_ONLY.host_address.network
        assert guest.run(f"ip route replace default via {HOST_ONLY.host_address.ip}")[0] == 0
        assert host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "1\n"
        assert before_long(reaches, in_guest(guest), HOST_ONLY.host_address.ip)
        assert before_long(reaches, from_machine(host), address.ip)
        assert not reaches(in_guest(guest), lab.internet.address)
        assert not reaches(in_guest(guest), lab.client.address)
        assert not reached_from_the_lan(lab, host, address)
        with lab.probe(host, HOST_ONLY.bridge, "guest2") as other:
            assert before_long(reaches, in_guest(guest), other.address)
            assert before_long(reaches, from_machine(other), address.ip)


def test_a_guest_on_a_bridge_that_is_there_is_a_port_of_it(host: LabHost, guest: LabGuest) -> None:
    host.run(["ip", "link", "add", "br7", "type", "bridge"])
    try:
        spec = Bridge(name="lan", bridge="br7", lasts=False)
        with network(host, spec):
            assert must_apply(host, attach(guest, spec.name, MAC)) == ["done"]
            found = facts(host)
            tap = card(found, guest).target
            assert tap is not None
            assert found.bridges["br7"] == (tap,)
            assert must_apply(host, detach(guest, MAC)) == ["done"]
    finally:
        host.run(["ip", "link", "del", "br7"])


def test_a_macvtap_guest_gets_its_lease_from_the_lan(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    spec = Macvtap(name="direct", uplink="eth0")
    with network(host, spec), plugged(host, guest, spec.name) as address:
        assert lab.client.address in address.network
        assert before_long(reaches, in_guest(guest), lab.internet.address)
        assert not reaches(in_guest(guest), host.address)  # the kernel passes nothing between macvtap and its link


def test_a_verb_that_fails_leaves_the_host_as_it_was(host: LabHost) -> None:
    host.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"])
    before, rules_before = facts(host), host.run(["nft", "--stateless", "list", "ruleset"]).stdout
    # libvirt's dnsmasq cannot bind its DNS port there, so the last verb, the start, fails.
    with taken_port(host, NAT):
        status, steps, said = apply(host, define(NAT))
    assert status == 3, said
    assert [step.outcome for step in steps] == ["done", "done", "done", "failed"] + ["undone"] * 4
    assert "dnsmasq" in str(steps[3].detail)
    assert same(before, facts(host))
    assert host.run(["nft", "--stateless", "list", "ruleset"]).stdout == rules_before
    assert host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"


@contextmanager
def taken_port(host: LabHost, spec: Nat) -> Iterator[None]:
    """Something else answers DNS on all addresses of the host."""
    other: subprocess.Popen[bytes] = host.popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--log-facility=-"],
        stderr=subprocess.PIPE,
    )
    assert other.stderr is not None
    try:
        while b"started" not in (line := other.stderr.readline()):
            assert line, f"dnsmasq for {spec.name} did not start"
        yield
    finally:
        other.terminate()
        other.wait()
        other.stderr.close()


def test_a_new_range_comes_into_force_while_a_guest_is_plugged_in(host: LabHost, guest: LabGuest) -> None:
    with network(host, NAT), plugged(host, guest, NAT.name):
        wider = NAT.model_copy(update={"last_lease": IPv4Address("10.99.1.60")})
        update = UpdateNetwork(network=ref(NAT.name), spec=wider)
        assert must_apply(host, update) == ["already-so", "done"]
        assert must_apply(host, update) == ["already-so", "already-so"]
        live = host.libvirt().networkLookupByName(NAT.name).XMLDesc()
        assert "end='10.99.1.60'" in live
        assert before_long(reaches, in_guest(guest), "10.99.1.1")


def test_an_update_that_would_cut_off_a_running_guest_is_refused_by_its_name(host: LabHost, guest: LabGuest) -> None:
    with network(host, NAT), plugged(host, guest, NAT.name):
        before = facts(host)
        moved = NAT.model_copy(update={"gateway": IPv4Interface("10.99.1.2/24")})
        status, _, said = apply(host, UpdateNetwork(network=ref(NAT.name), spec=moved))
        assert status == 3, said
        assert guest.name in said
        assert same(before, facts(host))
        assert before_long(reaches, in_guest(guest), "10.99.1.1")


def test_a_guest_that_does_not_let_go_of_its_card_is_named_and_keeps_it(host: LabHost) -> None:
    asleep = DomainRef(uuid=UUID("00000000-0000-4000-8000-0000000000aa"), name="asleep")
    xml = (
        f"<domain type='qemu'><name>{asleep.name}</name><uuid>{asleep.uuid}</uuid><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features></domain>"
    )
    domain = host.libvirt().defineXML(xml)
    domain.create()  # without a disk: no system ever answers the unplugging
    try:
        with network(host, NAT):
            plug = AttachInterface(
                domain=asleep, interface=InterfaceSpec(source=NetworkSource(network=NAT.name), mac=MAC)
            )
            assert must_apply(host, plug) == ["done"]
            before = facts(host).domain(asleep.uuid)
            status, _, said = apply(host, DetachInterface(domain=asleep, mac=MAC))
            assert status == 3
            assert "asleep does not let go of the card" in said
            assert facts(host).domain(asleep.uuid) == before
            domain.destroy()
            assert must_apply(host, DetachInterface(domain=asleep, mac=MAC)) == ["done"]
    finally:
        if domain.isActive():
            domain.destroy()
        domain.undefine()


def test_the_table_for_the_next_boot_is_the_one_that_is_loaded(host: LabHost) -> None:
    with network(host, NAT):
        loaded = host.run(["nft", "list", "table", "inet", "kvmpanel"]).stdout
        host.run(["nft", "flush", "ruleset"])
        host.run(["nft", "-f", "/var/lib/kvmagent/kvmpanel.nft"])
        assert host.run(["nft", "list", "table", "inet", "kvmpanel"]).stdout == loaded
    # libvirt's chains went too, and it makes them once after each of its starts: the next file's networks need them.
    host.restart_libvirtd()
