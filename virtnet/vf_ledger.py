"""The ledger of a host's VFs: PF -> VF -> the guest that owns it, and what is wanted against what is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts
from virtnet.fields import LinkName
from virtnet.link_facts import Link, Vf
from virtnet.vf import NO_MAC

_link_name: TypeAdapter[str] = TypeAdapter(LinkName)

Said = str | int | bool | None
_What = tuple[str, str]  # ("vf", PCI address), ("link", name) or ("pf", name)


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
    users = _Users(facts)
    return tuple(_pf_row(users, link) for link in facts.links if link.totalvfs)


def pf_row(facts: HostFacts, pf: Link) -> PfRow:
    return _pf_row(_Users(facts), pf)


def find_vf(facts: HostFacts, pci_address: str) -> tuple[Link, Vf] | None:
    """A VF of this host, and its PF."""
    return next(((pf, vf) for pf in facts.links for vf in pf.vfs if vf.pci_address == pci_address), None)


def holders(facts: HostFacts, vf: Vf) -> list[Holder]:
    """The cards that are this VF, those of running guests first."""
    return _Users(facts).holders(vf)


class _Users:
    """Who has which VF, to be looked up: searched for each VF, a host that tells of very many would stop the panel."""

    def __init__(self, facts: HostFacts) -> None:
        self.facts = facts
        self._cards: dict[_What, list[Holder]] = defaultdict(list)
        self._pools: dict[_What, list[int]] = defaultdict(list)  # places in facts.networks
        for guest in facts.domains:
            for card in guest.interfaces:
                self._cards[_vf_of(card)].append(Holder(guest=guest, card=card, now=card.live))
        for place, network in enumerate(facts.networks):
            for kind, names in (("pf", network.pfs), ("vf", network.vfs), ("link", network.devs)):
                for name in set(names):
                    self._pools[kind, name].append(place)

    def holders(self, vf: Vf) -> list[Holder]:
        found = [*self._cards.get(("vf", vf.pci_address), ()), *self._cards.get(("link", vf.link or ""), ())]
        return sorted(found, key=lambda holder: not holder.now)

    def pools(self, pf: Link, *vfs: Vf) -> tuple[NetworkFacts, ...]:
        """The networks that hand out all VFs of the PF, or one of these."""
        named = [
            ("pf", pf.name),
            *(("vf", vf.pci_address) for vf in vfs),
            *(("link", vf.link) for vf in vfs if vf.link),
        ]
        places = {place for what in named for place in self._pools.get(what, ())}
        return tuple(self.facts.networks[place] for place in sorted(places))


def _vf_of(card: InterfaceFacts) -> _What:
    """By what the VF is known that a card is; ("", "") for a card that is none."""
    if card.vf is not None:
        return "vf", card.vf
    # macvtap in passthrough gives a guest the VF's own link.
    if card.own_link is not None:
        return "link", card.own_link
    if card.type == "direct" and card.source_mode == "passthrough" and card.source:
        return "link", card.source
    return "", ""


def _pf_row(users: _Users, pf: Link) -> PfRow:
    return PfRow(pf=pf, rows=tuple(_row(users, pf, vf) for vf in pf.vfs), pools=users.pools(pf, *pf.vfs))


def _row(users: _Users, pf: Link, vf: Vf) -> VfRow:
    cards = users.holders(vf)
    holder = cards[0] if cards and cards[0].now else None
    return VfRow(
        vf=vf,
        holder=holder,
        waiting=tuple(card for card in cards if card is not holder),
        pools=users.pools(pf, vf),
        differences=_differences(users.facts, vf, holder),
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
