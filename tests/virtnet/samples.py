"""A host and one spec for each case of each mode, for the tests of virtnet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_interface, ip_network
from typing import Any, get_args
from uuid import UUID

from virtnet.configuration import LinkConfiguration
from virtnet.direct import SourceMode
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts
from virtnet.interface import DirectSource, InterfaceSpec, NetworkSource
from virtnet.link_facts import Link, Route, Vf
from virtnet.modes.bridge import Bridge
from virtnet.modes.host_only import HostOnly
from virtnet.modes.macvtap import Macvtap
from virtnet.modes.nat import Nat
from virtnet.modes.sriov import Sriov
from virtnet.refs import DomainRef, NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.vf_card import HostdevSource
from virtnet.vf_pair import AttachPair

OFFICE = NetworkRef(uuid=UUID("11111111-2222-4333-8444-555555555555"), name="office")
OTHER = UUID("99999999-2222-4333-8444-555555555555")
WEB = DomainRef(uuid=UUID("aaaaaaaa-2222-4333-8444-555555555555"), name="web1")

NAT = Nat(name="office", bridge="virbr1", gateway=IPv4Interface("192.168.77.1/24"))
HOST_ONLY = HostOnly(name="office", bridge="virbr1", host_address=IPv4Interface("192.168.77.1/24"))
BRIDGE = Bridge(name="office", bridge="br1", uplink="eth1")
MACVTAP = Macvtap(name="office", uplink="eth1")
SRIOV = Sriov(name="office", pf="ens1f0", numvfs=4)
LEASES = {"first_lease": IPv4Address("192.168.77.100"), "last_lease": IPv4Address("192.168.77.199")}

# One for each file of golden/.
CASES: dict[str, NetworkSpec] = {
    "nat-plain": NAT,
    "nat-leases": NAT.model_copy(update=LEASES),
    "bridge-uplink": BRIDGE,
    "bridge-existing": Bridge(name="office", bridge="br0"),
    "host-only-plain": HOST_ONLY,
    "host-only-leases": HOST_ONLY.model_copy(update=LEASES),
    "macvtap-bridge": MACVTAP,
    "macvtap-vepa": MACVTAP.model_copy(update={"source_mode": "vepa"}),
    "macvtap-private": MACVTAP.model_copy(update={"source_mode": "private"}),
    "macvtap-passthrough": MACVTAP.model_copy(update={"source_mode": "passthrough"}),
    "macvtap-trusted": MACVTAP.model_copy(update={"trust_guest_rx_filters": True}),
    "sriov-plain": SRIOV,
    "sriov-vlan": SRIOV.model_copy(update={"vlan": 42}),
    "sriov-some-vfs": SRIOV.model_copy(update={"vfs": ("0000:01:10.0", "0000:01:10.2")}),
}

MAC = "52:54:00:12:34:56"
CARD = InterfaceSpec(source=NetworkSource(network="office"), mac=MAC)
DIRECT = InterfaceSpec(source=DirectSource(link="eth1"), mac=MAC)

PAIR = AttachPair(domain=WEB, vf=HostdevSource(vf="0000:01:10.2"), network="office", mac=MAC)

# One for each file of golden_cards/.
CARDS: dict[str, InterfaceSpec] = {
    "network": CARD,
    "network-e1000e": CARD.model_copy(update={"model": "e1000e"}),
    "direct-bridge": DIRECT,
    **{
        f"direct-{mode}": DIRECT.model_copy(update={"source": DirectSource(link="eth1", mode=mode)})
        for mode in get_args(SourceMode)
    },
    "hostdev": InterfaceSpec(source=HostdevSource(vf="0000:01:10.2"), mac=MAC),
    "hostdev-vlan": InterfaceSpec(source=HostdevSource(vf="0000:01:10.2", vlan=42), mac=MAC),
    "pair-standby": PAIR.standby,
    "pair-primary": PAIR.primary,
    "direct-trusted": DIRECT.model_copy(update={"source": DirectSource(link="eth1", trust_guest_rx_filters=True)}),
}


def link(name: str, **about: Any) -> Link:
    return Link(name=name, index=about.pop("index", sum(name.encode())), **about)


def vf(index: int, **about: Any) -> Vf:
    """VF `index` of ens1f0, as an 82576 lays them out."""
    return Vf(index=index, pci_address=f"0000:01:10.{index * 2}", **about)


def pf(*vfs: Vf, **about: Any) -> Link:
    """ens1f0 with these VFs."""
    return link("ens1f0", totalvfs=8, numvfs=len(vfs), vfs=vfs, **about)


def owner(name: str, address: str, *, live: bool = True, uuid: UUID = WEB.uuid, **about: Any) -> DomainFacts:
    """A guest whose card is the VF at this PCI address, by name."""
    said = {"mac": "52:54:00:00:00:42", "type": "hostdev", "source": address, "vf": address, "live": live, **about}
    return DomainFacts(
        name=name, uuid=uuid, state="running" if live else "shut off", interfaces=(InterfaceFacts(**said),)
    )


def network(name: str, mode: str, **about: Any) -> NetworkFacts:
    """A network that somebody else made."""
    return NetworkFacts(name=name, uuid=about.pop("uuid", OTHER), active=True, mode=mode, **about)


def office(spec: NetworkSpec) -> NetworkFacts:
    """The panel's own network, as it is found once it is applied."""
    bridge = getattr(spec, "bridge", None)
    dev = getattr(spec, "uplink", None) or getattr(spec, "pf", None)
    return NetworkFacts(
        name="office",
        uuid=OFFICE.uuid,
        active=True,
        mode=spec.mode,
        bridge=bridge,
        devs=(dev,) if dev else (),
        pfs=(dev,) if dev and hasattr(spec, "pf") else (),
        spec=spec.model_dump_json(),
    )


def guest(name: str = "web1", *, networks: tuple[str, ...] = (), state: str = "running") -> DomainFacts:
    cards = tuple(
        InterfaceFacts(mac=f"52:54:00:00:00:{number:02x}", type="network", source=source, live=state != "shut off")
        for number, source in enumerate(networks, 1)
    )
    return DomainFacts(name=name, uuid=WEB.uuid, state=state, interfaces=cards)


def host(**about: Any) -> HostFacts:
    """A host on which each sample can be applied: eth0 leads out, eth1 is free, br0 has eth2, ens1f0 is a PF."""
    known: dict[str, Any] = {
        "hostname": "kvm1",
        "iommu": True,
        "links": (
            link("lo", addresses=(ip_interface("127.0.0.1/8"), ip_interface("::1/128"))),
            link(
                "eth0",
                addresses=(IPv4Interface("10.0.0.5/24"), IPv6Interface("2001:db8::5/64"), IPv6Interface("fe80::5/64")),
            ),
            link("eth1", addresses=(IPv6Interface("fe80::6/64"),)),
            link("br0", kind="bridge"),
            link("eth2", master="br0"),
            link("ens1f0", totalvfs=8, numvfs=0),
            link("ens1f0v0", pf="ens1f0"),
            link("wlan0", wireless=True),
            link("vnet0", kind="tun", master="br0"),
        ),
        "routes": (
            Route(dst=IPv4Network("0.0.0.0/0"), gateway=IPv4Address("10.0.0.1"), dev="eth0"),
            Route(dst=ip_network("10.0.0.0/24"), dev="eth0"),
            Route(dst=ip_network("2001:db8::/64"), dev="eth0"),
        ),
    }
    facts = HostFacts(**(known | about))
    names = ["", *facts.uplinks]
    configurations = tuple(LinkConfiguration(link=name, owner="networkd") for name in names)
    return facts.model_copy(update={"configurations": facts.configurations or configurations})


def host_with(*links: Link, **about: Any) -> HostFacts:
    """The same host with links added, or put in the place of those with the same name."""
    names = {one.name for one in links}
    return host(links=(*(one for one in host().links if one.name not in names), *links), **about)


def said(problems: list[Problem]) -> list[tuple[str, str]]:
    """The field and the sentence of each problem."""
    return [(problem.field, str(problem.text)) for problem in problems]
