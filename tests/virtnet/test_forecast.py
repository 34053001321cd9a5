"""What an action would do to the host's own links, and what hangs on them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_network

import pytest

from tests.virtnet.samples import (
    BRIDGE,
    CASES,
    NAT,
    OFFICE,
    OTHER,
    WEB,
    host,
)
from virtnet.actions import DefineNetwork, UndefineNetwork
from virtnet.configuration import ConfigurationFile, LinkConfiguration
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts
from virtnet.forecast import Forecast, forecast
from virtnet.hanging import Hanging, hanging_on
from virtnet.link_facts import Link, Route, Rule
from virtnet.spec import NetworkSpec

MAC = "52:54:00:aa:00:01"
LINK_LOCAL = IPv6Interface("fe80::1/64")


def uplink(**changes: object) -> Link:
    """eth1 with all that a host may have on it."""
    values = {
        "name": "eth1",
        "index": 3,
        "mac": MAC,
        "mtu": 9000,
        "up": True,
        "addresses": (IPv4Interface("10.0.0.5/24"), IPv4Interface("10.0.0.6/24"), LINK_LOCAL),
    }
    return Link.model_validate(values | changes)


def routes(dev: str) -> tuple[Route, ...]:
    return (
        Route(dst=ip_network("10.0.0.0/24"), dev=dev, proto="kernel", scope="link", prefsrc=IPv4Address("10.0.0.5")),
        Route(dst=ip_network("0.0.0.0/0"), gateway=IPv4Address("10.0.0.1"), dev=dev, proto="static", metric=100),
    )


def machine(*links: Link, dev: str = "eth1", **changes: object) -> HostFacts:
    """A host that stands on `dev`."""
    other = Link(name="eth9", index=9, mac="52:54:00:aa:00:09", mtu=1500, up=True)
    values = {
        "links": (*links, other),
        "routes": routes(dev),
        "rules": (Rule(version=4, priority=100, selector="from all iif " + dev, table=100, iif=dev),),
        "way_to_panel": dev,
    }
    return HostFacts.model_validate(values | changes)


def bridged() -> HostFacts:
    """The same host once the panel has made br1 with eth1."""
    made = Link(
        name="br1", index=8, kind="bridge", mac=MAC, mtu=9000, up=True, made_for=OFFICE.uuid, made_with="eth1",
        addresses=uplink().addresses,
    )  # fmt: skip
    office = NetworkFacts(
        name="office", uuid=OFFICE.uuid, active=True, mode="bridge", bridge="br1", spec=BRIDGE.model_dump_json()
    )
    return machine(uplink(master="br1", addresses=()), made, dev="br1", networks=(office,))


def defined(facts: HostFacts, spec: NetworkSpec = BRIDGE) -> Forecast:
    return forecast(DefineNetwork.model_validate({"network": OFFICE, "spec": spec}), facts)


def test_the_bridge_takes_over_all_that_its_uplink_had() -> None:
    seen = defined(machine(uplink()))
    assert seen.before.splitlines() == [
        f"link eth1 {MAC} mtu 9000 up",
        "address 10.0.0.5/24 dev eth1",
        "address 10.0.0.6/24 dev eth1",
        "route default via 10.0.0.1 dev eth1 proto static metric 100",
        "route 10.0.0.0/24 dev eth1 proto kernel src 10.0.0.5",
        "rule 100: from all iif eth1 lookup 100",
    ]
    assert seen.after.splitlines() == [
        f"link br1 type bridge {MAC} mtu 9000 up",
        f"link eth1 master br1 {MAC} mtu 9000 up",
        "address 10.0.0.5/24 dev br1",
        "address 10.0.0.6/24 dev br1",
        "route default via 10.0.0.1 dev br1 proto static metric 100",
        "route 10.0.0.0/24 dev br1 proto kernel src 10.0.0.5",
        "rule 100: from all iif br1 lookup 100",
    ]
    assert (seen.way_to_panel, seen.default_route_dev) == ("eth1", "eth1")


def test_taking_the_bridge_away_is_the_same_backwards() -> None:
    there = defined(machine(uplink()))
    back = forecast(UndefineNetwork(network=OFFICE, spec=BRIDGE), bridged())
    assert (back.before, back.after) == (there.after, there.before)


def test_what_carries_the_way_to_the_panel_is_guarded_and_a_person_is_asked() -> None:
    guarded = defined(machine(uplink())).guarded
    assert guarded is not None
    assert str(guarded.why) == "eth1 carries the way to the panel."
    assert (guarded.asks, guarded.seconds) == ("person", 60)
    removal = forecast(UndefineNetwork(network=OFFICE, spec=BRIDGE), bridged()).guarded
    assert removal is not None
    assert str(removal.why) == "br1 carries the way to the panel."


def test_a_free_uplink_needs_no_guard_and_its_forecast_is_shown_all_the_same() -> None:
    free = machine(uplink(addresses=()), dev="eth9")
    seen = defined(free)
    assert seen.guarded is None
    assert seen.after.splitlines() == [
        f"link br1 type bridge {MAC} mtu 9000 up",
        f"link eth1 master br1 {MAC} mtu 9000 up",
    ]


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("bridge-uplink", "sriov"))])
def test_what_only_libvirt_makes_changes_nothing_of_the_host_itself(name: str) -> None:
    facts = host()
    all_up = facts.model_copy(update={"links": tuple(one.model_copy(update={"up": True}) for one in facts.links)})
    seen = defined(all_up, CASES[name])
    assert (seen.guarded, seen.before, seen.after, seen.files) == (None, "", "", ())


def test_the_files_of_a_bridge_that_lasts_are_foreseen_and_those_of_its_removal() -> None:
    interfaces = ConfigurationFile(path="/etc/network/interfaces", text="auto eth1\niface eth1 inet manual\n")
    configuration = LinkConfiguration(link="eth1", owner="ifupdown", files=(interfaces,))
    facts = machine(uplink(addresses=()), dev="eth9", configurations=(configuration,))
    files = {file.path: file for file in defined(facts, BRIDGE.model_copy(update={"lasts": True})).files}
    assert files["/etc/network/interfaces"].before == interfaces.text
    assert "iface eth1 inet manual" in (files["/etc/network/interfaces"].after or "")
    assert any(file.before is None and "br1" in (file.after or "") for file in files.values())
    assert defined(facts, BRIDGE.model_copy(update={"lasts": False})).files == ()


def test_vfs_are_counted() -> None:
    seen = defined(host(), CASES["sriov-plain"])
    assert "sriov_numvfs 0" in seen.before
    assert "sriov_numvfs 4" in seen.after


def card(kind: str, source: str, *, live: bool = True, vf: str | None = None) -> InterfaceFacts:
    return InterfaceFacts(mac="52:54:00:00:00:01", type=kind, source=source, live=live, vf=vf)


def guest(name: str, *cards: InterfaceFacts) -> DomainFacts:
    return DomainFacts(name=name, uuid=WEB.uuid, state="running", interfaces=cards)


def on_it(*guests: DomainFacts, networks: tuple[NetworkFacts, ...] = (), **changes: object) -> Hanging:
    return hanging_on(machine(uplink(**changes), networks=networks, domains=guests), "eth1")


def of_mode(mode: str, name: str, **values: object) -> NetworkFacts:
    return NetworkFacts.model_validate({"name": name, "uuid": OTHER, "active": True, "mode": mode} | values)


def test_macvtap_and_nat_hang_on_the_link_that_they_leave_by_and_host_only_does_not() -> None:
    networks = (
        of_mode("macvtap", "direct", devs=("eth1",)),
        of_mode("macvtap", "elsewhere", devs=("eth9",)),
        of_mode("nat", "office", bridge=NAT.bridge, subnets=(NAT.gateway,)),
        of_mode("route", "foreign", bridge="virbr7", subnets=(IPv4Interface("192.168.7.1/24"),)),
        of_mode("host-only", "tier", bridge="virbr8", subnets=(IPv4Interface("192.168.8.1/24"),)),
    )
    guests = [guest(f"on-{one.name}", card("network", one.name)) for one in networks]
    found = on_it(*guests, networks=networks)
    assert found.networks == ("direct", "office", "foreign")
    assert found.guests == ("on-direct", "on-office", "on-foreign")


def test_guests_hang_on_it_by_a_bridge_over_it_a_vlan_of_it_and_a_vf_of_it() -> None:
    over = Link(name="br5", index=5, kind="bridge")
    vlan = Link(name="eth1.7", index=6, kind="vlan", parent="eth1")
    veth = Link(name="eth7", index=7, kind="veth", parent="eth1")
    pf = uplink(master="br5", vfs=({"index": 0, "pci_address": "0000:5e:02.0"},))
    guests = (
        guest("bridged", card("bridge", "br5")),
        guest("tagged", card("direct", "eth1.7")),
        guest("with-a-vf", card("hostdev", "", vf="0000:5e:02.0")),
        guest("unplugged", card("bridge", "br5", live=False)),
        guest("elsewhere", card("bridge", "eth7")),
        guest("of-that-name", card("network", "br5")),
    )
    facts = machine(pf, over, vlan, veth, domains=guests)
    assert hanging_on(facts, "eth1").guests == ("bridged", "tagged", "with-a-vf")
