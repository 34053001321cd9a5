"""The ledger of a host's VFs: PF -> VF -> the guest that owns it, and what is wanted against what is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts
from virtnet.fields import LinkName
from virtnet.link_facts import Link, Vf
from virtnet.vf import NO_MAC

_link_name: TypeAdapter[str] = TypeAdapter(LinkName)

Said = str | int | bool | None


@dataclass(frozen=True)
class Holder:
    """A guest's card that is a VF. now: the guest has it; else the card waits for the guest's next start."""

    guest: DomainFacts
    card: InterfaceFacts
    now: bool


@dataclass(frozen=True)
class Difference:
    """An attribute that is not as it is wanted; `actual` is None where the driver does not tell. by: who wants it."""

    attribute: str
    wanted: Said
    actual: Said
    by: Literal["panel", "guest"]


@dataclass(frozen=True)
class VfRow:
    vf: Vf
    holder: Holder | None
    waiting: tuple[Holder, ...]
    pools: tuple[NetworkFacts, ...]
    differences: tuple[Difference, ...]

    @property
    def is_free(self) -> bool:
        """Nobody has it, and no network hands it out."""
        return self.holder is None and not self.waiting and not self.pools


@dataclass(frozen=True)
class PfRow:
    """A PF. pools: the networks that hand out VFs of it."""

    pf: Link
    rows: tuple[VfRow, ...]
    pools: tuple[NetworkFacts, ...]

    @property
    def has_a_link_s_name(self) -> bool:
        """Whether its name is one that we would give a link: others are shown, and cannot be asked for."""
        try:
            _link_name.validate_python(self.pf.name)
        except ValidationError:
            return False
        return True

    @property
    def count_differs(self) -> bool:
        """Whether it has another number of VFs than the panel last set."""
        return self.pf.wanted_numvfs is not None and self.pf.wanted_numvfs != self.pf.numvfs

    @property
    def held(self) -> int:
        return sum(row.holder is not None for row in self.rows)

    @property
    def differing(self) -> int:
        return sum(bool(row.differences) for row in self.rows)


def ledger(facts: HostFacts) -> tuple[PfRow, ...]:
    """Each PF with its VFs, in the order of the host's links."""
    return tuple(pf_row(facts, link) for link in facts.links if link.totalvfs)


def pf_row(facts: HostFacts, pf: Link) -> PfRow:
    rows = tuple(_row(facts, pf, vf) for vf in pf.vfs)
    return PfRow(pf=pf, rows=rows, pools=tuple(network for network in facts.networks if hands_out(network, pf)))


def find_vf(facts: HostFacts, pci_address: str) -> tuple[Link, Vf] | None:
    """A VF of this host, and its PF."""
    return next(((pf, vf) for pf in facts.links for vf in pf.vfs if vf.pci_address == pci_address), None)


def hands_out(network: NetworkFacts, pf: Link) -> bool:
    """Whether a network hands out VFs of this PF: all of them, or some."""
    return pf.name in network.pfs or any(vf.pci_address in network.vfs or vf.link in network.devs for vf in pf.vfs)


def hands_out_vf(network: NetworkFacts, pf: Link, vf: Vf) -> bool:
    return pf.name in network.pfs or vf.pci_address in network.vfs or (vf.link is not None and vf.link in network.devs)


def holders(facts: HostFacts, vf: Vf) -> list[Holder]:
    """The cards that are this VF, those of running guests first."""
    found = [
        Holder(guest=guest, card=card, now=card.live)
        for guest in facts.domains
        for card in guest.interfaces
        if _is(card, vf)
    ]
    return sorted(found, key=lambda holder: not holder.now)


def _is(card: InterfaceFacts, vf: Vf) -> bool:
    if card.vf is not None:
        return card.vf == vf.pci_address
    # macvtap in passthrough gives a guest the VF's own link.
    return (
        card.type == "direct" and card.source_mode == "passthrough" and vf.link is not None and card.source == vf.link
    )


def _row(facts: HostFacts, pf: Link, vf: Vf) -> VfRow:
    cards = holders(facts, vf)
    holder = cards[0] if cards and cards[0].now else None
    return VfRow(
        vf=vf,
        holder=holder,
        waiting=tuple(card for card in cards if card is not holder),
        pools=tuple(network for network in facts.networks if hands_out_vf(network, pf, vf)),
        differences=_differences(facts, vf, holder),
    )


def _differences(facts: HostFacts, vf: Vf, holder: Holder | None) -> tuple[Difference, ...]:
    wanted: dict[str, tuple[Said, Literal["panel", "guest"]]] = {
        attribute: (value, "panel") for attribute, value in (vf.wanted.wanted() if vf.wanted else {}).items()
    }
    if holder is not None:
        # While a guest has the VF libvirt sets the MAC of the guest's card, and its VLAN or none.
        network = facts.network(holder.card.source or "") if holder.card.type == "network" else None
        tag = holder.card.vlan if holder.card.vlan is not None else (network.vlan if network else None)
        wanted |= {"mac": (holder.card.mac, "guest"), "vlan": (tag or 0, "guest")}
        wanted.pop("qos", None)
    found = [(attribute, value, actual(vf, attribute), by) for attribute, (value, by) in wanted.items()]
    return tuple(Difference(attribute, value, is_, by) for attribute, value, is_, by in found if value != is_)


def actual(vf: Vf, attribute: str) -> Said:
    """What a VF has; a MAC address that is not set is NO_MAC, as it would be set."""
    value: Said = getattr(vf, attribute)
    return (value or NO_MAC) if attribute == "mac" else value
