"""What an agent found in its host's kernel: links, VFs, routes, policy rules."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from virtnet.fields import ForeignName, OwnName
from virtnet.vf import VfAttributes

AnyAddress = IPv4Address | IPv6Address
AnyInterface = IPv4Interface | IPv6Interface
AnyNetwork = IPv4Network | IPv6Network
MAIN_TABLE = 254


class Fact(BaseModel):
    """Frozen, and refuses what it does not know, as everything that crosses the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Vf(Fact):
    """A VF of a PF: where it is, who drives it, and its attributes as the PF's driver tells them."""

    index: int
    pci_address: str  # 0000:5e:02.1
    driver: str | None = None  # igbvf, vfio-pci …; None while none is bound
    link: ForeignName | None = None  # its netdev, while it has one on this host
    iommu_group: int | None = None
    group_devices: int = 1  # how many devices are in that group, PCI bridges left out; one guest gets them all or none
    mac: str = ""  # "" while none is set: then the VF draws its own
    vlan: int = 0  # 0: none
    qos: int = 0
    spoofchk: bool | None = None  # None: the driver does not tell; so for the rest
    trust: bool | None = None
    link_state: str | None = None  # auto, enable, disable
    min_tx_rate: int | None = None  # Mbit/s; 0: none
    max_tx_rate: int | None = None
    wanted: VfAttributes | None = None  # as the panel last set it; kept for the host's next start


class Link(Fact):
    """A netdev, as iproute2 shows it."""

    name: OwnName
    index: int
    kind: str = ""  # IFLA_INFO_KIND: bridge, veth, tun, vlan, bond, macvtap …; empty for a physical card and for lo
    master: ForeignName | None = None
    parent: ForeignName | None = None  # of a VLAN, macvlan …: the link beneath, the `@eth0` of `ip link`
    mac: str = ""
    mtu: int = 0
    max_mtu: int | None = None  # the most that its driver takes, where it tells
    up: bool = False  # IFF_UP, what `ip link set … up` sets
    operstate: str = ""  # UP, DOWN, UNKNOWN … as in `ip -br link`
    addresses: tuple[AnyInterface, ...] = ()
    dynamic: tuple[AnyInterface, ...] = ()  # those of `addresses` that DHCP or a router gave for a time
    speed: int | None = None  # Mbit/s
    driver: str | None = None
    pci_address: str | None = None
    wireless: bool = False
    made_for: UUID | None = None  # of a bridge that the panel made: the network that it was made for
    made_with: ForeignName | None = None  # of such a bridge: the uplink that it was made with
    made_with_second: ForeignName | None = None  # and the second one
    made_with_down: tuple[ForeignName, ...] = ()  # those of the two that were down before
    made_with_mtus: tuple[tuple[ForeignName, int], ...] = ()  # and their own MTU, where the panel has set another
    stp: bool | None = None  # of a bridge: whether it speaks the spanning tree protocol
    forward_delay: float | None = None  # of a bridge: its own, in seconds; with STP the root's is in force
    vlan_filtering: bool = False  # of a bridge: whether its ports are told apart by VLANs
    pf: ForeignName | None = None  # of a VF: the PF that it belongs to
    totalvfs: int | None = None  # of a PF: sriov_totalvfs
    numvfs: int | None = None  # of a PF: sriov_numvfs
    numa_node: int | None = None  # of a card on PCI, where the firmware tells
    vfs: tuple[Vf, ...] = ()  # of a PF, by index
    wanted_numvfs: int | None = None  # of a PF: as the panel last set it; kept for the host's next start


class Route(Fact):
    """A route, with the words of `ip route`. The kernel's own table of the host's addresses is left out."""

    dst: AnyNetwork
    gateway: AnyAddress | None = None
    dev: ForeignName | None = None
    metric: int | None = None
    table: int = MAIN_TABLE
    proto: str = ""  # who made it: kernel, boot, static, dhcp, ra …
    scope: str = ""  # global, link, host
    prefsrc: AnyAddress | None = None  # `src`: the address that the host uses for it

    @property
    def is_main(self) -> bool:
        """Whether it is used without a policy rule of somebody's own."""
        return self.table == MAIN_TABLE


class Rule(Fact):
    """A policy rule that somebody added (`ip rule`): which packets are routed by which table."""

    version: Literal[4, 6]
    priority: int
    selector: str  # e.g. "from 10.0.0.5 iif eth0"
    table: int
    iif: ForeignName | None = None
    oif: ForeignName | None = None
