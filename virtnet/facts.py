"""What an agent found on its host. Read-only, and as old as the report that brought it.

Names that others gave (links, networks, guests) are `ForeignName`: nothing is refused here because somebody chose an
odd name.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from ipaddress import IPv4Network
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from virtnet.channel import CONFIRM_SECONDS
from virtnet.configuration import Lasting, LinkConfiguration
from virtnet.fields import ForeignName, MacAddress, OwnName
from virtnet.link_facts import AnyAddress, AnyInterface, Fact, Link, Route, Rule
from virtnet.refs import DomainRef
from virtnet.text import Text

_mac: TypeAdapter[str] = TypeAdapter(MacAddress)


class Lease(Fact):
    """A DHCP lease that libvirt's dnsmasq gave."""

    mac: str
    address: AnyAddress
    hostname: str = ""
    expires_at: datetime | None = None


class NetworkFacts(Fact):
    """A libvirt network as it is on the host, whoever made it."""

    name: OwnName
    uuid: UUID
    active: bool
    persistent: bool = True
    autostart: bool = False
    mode: (
        str  # one of MODES, else libvirt's own forward mode ("route", "open" …): what it is when it is none of the five
    )
    bridge: ForeignName | None = None
    devs: tuple[ForeignName, ...] = ()  # links named by <forward dev>, <interface dev>, <pf dev>
    pfs: tuple[ForeignName, ...] = ()  # PFs named by <forward><pf>: each of their VFs is handed out
    vfs: tuple[str, ...] = ()  # PCI addresses named by <forward><address>: these VFs are handed out
    vlan: int | None = None  # the one tag that it gives to each card on it
    subnets: tuple[AnyInterface, ...] = ()  # the host's addresses on it
    leases: tuple[Lease, ...] = ()
    spec: str | None = None  # JSON of AnySpec from the panel's metadata; None for a foreign network
    xml: Annotated[str, Field(max_length=100_000)] = ""

    @property
    def managed(self) -> bool:
        """Whether the panel made it (its metadata says so)."""
        return self.spec is not None

    def is_shown_as(self, type_: str, source: str | None) -> bool:
        """Whether a running guest's card of this network may look so: libvirt shows it with the bridge or the link
        beneath, and no longer with the network."""
        if type_ == "bridge":
            return source is not None and source == self.bridge
        return type_ == "direct" and source in self.devs


class InterfaceAddress(Fact):
    address: AnyInterface
    source: Literal["lease", "arp", "agent"]


class FilterFacts(Fact):
    """A network filter (nwfilter) that libvirt has on this host."""

    name: ForeignName
    variables: tuple[ForeignName, ...] = ()  # those that it and the filters in it use, e.g. GATEWAY_MAC, IP, MAC


class InterfaceFacts(Fact):
    """One <interface> of a guest."""

    mac: str
    type: str  # network, bridge, direct, hostdev …
    source: ForeignName | None = None  # the network, bridge or link
    source_mode: str | None = None  # of type direct: bridge, vepa, private, passthrough
    target: ForeignName | None = None  # the tap on the host, e.g. vnet3
    vf: str | None = None  # PCI address of the VF that it is, while it is one
    own_link: ForeignName | None = None  # that it has for itself while it runs: macvtap in passthrough
    vlan: int | None = None  # the one tag that the card's own document names
    teaming: Literal["persistent", "transient"] | None = None  # half of a pair that lets a guest with a VF migrate
    model: str | None = None
    link_up: bool = True
    live: bool = True  # plugged in now
    persistent: bool = True  # there after the guest's next start
    addresses: tuple[InterfaceAddress, ...] = ()
    filter: ForeignName | None = None  # the network filter that it bears
    filter_parameters: tuple[tuple[ForeignName, ForeignName], ...] = ()  # the filter's variables with their values

    @property
    def has_a_mac(self) -> bool:
        """Whether its MAC address is one that we would give a card: others are shown, and cannot be asked for."""
        try:
            return _mac.validate_python(self.mac) == self.mac
        except ValidationError:
            return False


class InboundFacts(Fact):
    """What may come in to one card of a guest, as the panel keeps it in the guest's metadata."""

    mac: ForeignName
    policy: Annotated[str, Field(max_length=100_000)]  # JSON of InboundPolicy
    loaded: bool = False  # whether the kernel has the rules for it


class DomainFacts(Fact):
    name: OwnName
    uuid: UUID
    state: str  # running, shut off, paused … as `virsh list --all` says
    persistent: bool = True
    machine: str = ""  # what it has for a mainboard: pc-q35-7.2, pc-i440fx-7.2, virt-7.2 …
    interfaces: tuple[InterfaceFacts, ...] = ()
    inbound: tuple[InboundFacts, ...] = ()

    @property
    def ref(self) -> DomainRef:
        return DomainRef(uuid=self.uuid, name=self.name)

    @property
    def running(self) -> bool:
        return self.state == "running"

    def card(self, mac: str) -> InterfaceFacts | None:
        """The card of that MAC address; of one that changes at the next start, as it is plugged in now; of a VF that is
        paired with a virtio card, the virtio card."""
        found = [card for card in self.interfaces if card.mac == mac]
        return next((card for card in found if card.teaming == "persistent"), found[0] if found else None)

    @property
    def is_plugged_in(self) -> bool:
        """Whether it has a card on the host now: a paused guest is not running, and loses its network all the same."""
        return any(card.live for card in self.interfaces)


class Versions(Fact):
    kernel: str = ""
    libvirt: str = ""
    qemu: str = ""
    kvmagent: str = ""


class Filtering(Fact):
    """What else decides about packets on this host: other firewalls, and switches of the kernel."""

    dropping: tuple[
        ForeignName, ...
    ] = ()  # forward chains of others whose policy is drop, e.g. "ip filter FORWARD", "iptables-legacy filter FORWARD"
    docker: bool = False  # whether Docker's chains are there
    legacy_unread: bool = False  # whether there are rules of iptables-legacy that the agent cannot list
    firewalld: bool = False  # whether firewalld's table is there
    rules_in_force: bool | None = None  # whether the kernel has the rules of the panel's networks; None: none are due
    br_netfilter: bool = False  # whether bridged packets pass iptables (net.bridge.bridge-nf-call-iptables)
    strict_rp_filter: tuple[ForeignName, ...] = ()  # links with an IPv4 address whose rp_filter is strict
    accept_ra: tuple[ForeignName, ...] = ()  # links whose kernel takes router advertisements only while not forwarding
    forwards_ipv6: tuple[ForeignName, ...] = ()  # of those links, the ones that forward


class VfsRestored(Fact):
    """What came of the VFs that the panel keeps, at the last start of the host."""

    wanted: int
    restored: int  # there, with all that is wanted of them
    problems: tuple[Text, ...] = ()


class HostFacts(Fact):
    """All that the panel knows about a host. `uplinks`, `bridges` and `pfs` are read off the links."""

    hostname: str = ""
    versions: Versions = Versions()
    iommu: bool = False
    vfio: bool = False  # whether /dev/vfio/vfio is there, as libvirt asks
    cpu: str = ""  # the vendor as /proc/cpuinfo says: GenuineIntel, AuthenticAMD …
    vfs_restored: VfsRestored | None = None  # None: none are kept, or nobody restored them at the last start
    libvirt_error: Text | None = None  # why networks and domains could not be read; then they are the last known ones
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    way_to_panel: ForeignName | None = (
        None  # the link over which the agent reaches the panel; None: not enrolled, no way
    )
    networks: tuple[NetworkFacts, ...] = ()
    domains: tuple[DomainFacts, ...] = ()
    filters: tuple[FilterFacts, ...] = ()
    filtering: Filtering = Filtering()
    confirm_seconds: float = CONFIRM_SECONDS  # how long a guarded change waits here, without what STP adds
    configurations: tuple[LinkConfiguration, ...] = ()  # of the uplinks, and one of link "" for what has none
    lasting: tuple[Lasting, ...] = ()  # bridges that the panel wrote into the host's own configuration

    @property
    def uplinks(self) -> tuple[str, ...]:
        """Links that may lead to the LAN: cards, bonds, VLANs and veths that no libvirt guest or network owns."""
        own = {network.bridge for network in self.networks} | {
            interface.target for domain in self.domains for interface in domain.interfaces
        }
        return tuple(
            link.name
            for link in self.links
            if link.kind in {"", "bond", "vlan", "team", "veth"} and link.name != "lo" and link.name not in own
        )

    @property
    def bridges(self) -> dict[str, tuple[str, ...]]:
        """Bridge -> its ports."""
        ports: dict[str | None, list[str]] = {}
        for link in self.links:
            ports.setdefault(link.master, []).append(link.name)
        return {link.name: tuple(ports.get(link.name, ())) for link in self.links if link.kind == "bridge"}

    @property
    def pfs(self) -> dict[str, int]:
        """PF -> sriov_totalvfs."""
        return {link.name: link.totalvfs for link in self.links if link.totalvfs}

    @property
    def vf_addresses(self) -> tuple[str, ...]:
        """The PCI addresses of all VFs, PF by PF."""
        return tuple(vf.pci_address for link in self.links for vf in link.vfs)

    @property
    def default_route_dev(self) -> str | None:
        """The link of the IPv4 default route with the lowest metric."""
        defaults = [route for route in self.routes if route.is_main and route.dst == IPv4Network("0.0.0.0/0")]
        return min(defaults, key=lambda route: route.metric or 0).dev if defaults else None

    def link(self, name: str) -> Link | None:
        return next((link for link in self.links if link.name == name), None)

    def configuration(self, link: str | None) -> LinkConfiguration | None:
        """Who configures a link at the host's start; None: who would configure a bridge without an uplink."""
        return next((one for one in self.configurations if one.link == (link or "")), None)

    def lasting_bridge(self, name: str) -> Lasting | None:
        return next((one for one in self.lasting if one.bridge == name), None)

    def network(self, name: str) -> NetworkFacts | None:
        return next((network for network in self.networks if network.name == name), None)

    def domain(self, uuid: UUID) -> DomainFacts | None:
        return next((domain for domain in self.domains if domain.uuid == uuid), None)

    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON: two hosts' or two moments' facts are the same when this is."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
