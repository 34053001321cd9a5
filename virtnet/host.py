"""The verbs that a mode may ask of a host. kvmagent.host does them; virtnet.plan records them.

Each verb tells what it found or did, is safe to repeat, and has its undo.

arm_guard before the first verb that may cut the host off, await_confirmation after the last: in between only links
change. links: those that the verbs in between change, new: those that they make, which go on the way back. asks:
whether the panel may answer by itself, or a person judges. network: the links are bridges that go with it, unless
others stand on them. mute: seconds that a bridge with the spanning tree protocol may not forward; its window is longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from virtnet.card_filter import CardFilter
from virtnet.firewall import NetworkRules
from virtnet.inbound import InboundPolicy
from virtnet.refs import DomainRef, NetworkRef
from virtnet.vf import VfAttributes

if TYPE_CHECKING:  # these know what stands in their way, as a mode does, and modes know the verbs
    from virtnet.bridges import Wiring
    from virtnet.interface import InterfaceSpec

Asks = Literal["panel", "person"]


class Host(Protocol):
    # libvirt networks
    def define_network(self, network: NetworkRef, xml: str) -> None: ...
    def update_network(self, network: NetworkRef, xml: str) -> None: ...
    def set_autostart(self, network: NetworkRef, autostart: bool) -> None: ...
    def start_network(self, network: NetworkRef) -> None: ...
    def destroy_network(self, network: NetworkRef) -> None: ...
    def undefine_network(self, network: NetworkRef) -> None: ...

    # libvirt domains
    def attach_interface(self, domain: DomainRef, interface: InterfaceSpec) -> None: ...
    def detach_interface(self, domain: DomainRef, mac: str) -> None: ...  # of a pair both halves
    def detach_vf_of_pair(self, domain: DomainRef, mac: str) -> None: ...  # the other half stays
    def set_filter(self, domain: DomainRef, mac: str, wanted: CardFilter | None) -> None: ...

    # what may come in to a card: kept with its guest, enforced by nftables; None does nothing where there is none
    def set_inbound_policy(self, domain: DomainRef, mac: str, policy: InboundPolicy | None) -> None: ...

    # nftables: our own table, always replaced whole
    def load_firewall(self, network: NetworkRef, rules: NetworkRules | None) -> None: ...

    # what may cut the host off: nothing is done where the links carry nothing of the host's
    def arm_guard(
        self,
        links: tuple[str, ...],
        asks: Asks = "panel",
        *,
        new: tuple[str, ...] = (),
        network: NetworkRef | None = None,
        mute: int = 0,
    ) -> None: ...
    def arm_guard_for_vfs(self, pf: str, numvfs: int) -> None: ...  # the same, where the number of VFs changes
    def arm_guard_for_bridge(self, network: NetworkRef, wanted: Wiring) -> None: ...  # made, or another than it is
    def await_confirmation(self) -> None: ...

    # the kernel's links
    def add_bridge(self, bridge: str, network: NetworkRef, uplink: str | None, second: str | None = None) -> None: ...
    # of a bridge that was made for another network these do nothing, but for STP that is wanted
    def replace_second(self, bridge: str, network: NetworkRef, second: str | None) -> None: ...  # a former one leaves
    def set_stp(self, bridge: str, network: NetworkRef, forward_delay: int) -> None: ...  # seconds; 0 is off
    def set_mtu(self, network: NetworkRef, wanted: Wiring) -> None: ...  # of the bridge, its uplinks, guests' taps
    def delete_bridge(self, bridge: str, network: NetworkRef) -> None: ...
    def set_master(self, link: str, bridge: str) -> None: ...
    def set_up(self, link: str) -> None: ...
    def leave_to_guest(self, link: str) -> None: ...
    def take_back_links(self) -> None: ...  # those that were left to a guest and that none has any more

    # VFs; what is kept is there again before libvirtd starts with the host
    def set_numvfs(self, pf: str, numvfs: int) -> None: ...
    def keep_numvfs(self, pf: str, numvfs: int) -> None: ...
    def set_vf(self, pf: str, vf: int, attributes: VfAttributes) -> None: ...
    def keep_vf(self, pf: str, vf: int, attributes: VfAttributes) -> None: ...

    # the host's own configuration: what survives a reboot; only once the change is confirmed
    def persist_bridge(self, network: NetworkRef, wanted: Wiring) -> None: ...
    def forget_bridge(self, bridge: str) -> None: ...
