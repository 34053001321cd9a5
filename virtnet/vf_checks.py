"""What may stand in the way of another number of VFs, and of other attributes for one."""

from __future__ import annotations

from collections.abc import Iterable

from virtnet import guarding, links, vf_ledger
from virtnet.facts import HostFacts
from virtnet.link_facts import Link, Vf
from virtnet.spec import Problem
from virtnet.text import Text, text
from virtnet.vf import VfAttributes
from virtnet.vf_ledger import Holder, PfRow, VfRow


def is_no_pf(link: Link) -> list[Problem]:
    if link.pf is not None:
        sentence = text("%(link)s is a VF of %(pf)s.", link=link.name, pf=link.pf)
        return [Problem(text=sentence, fix=text("Choose %(pf)s.", pf=link.pf), field="pf")]
    if not link.totalvfs:
        sentence = text("%(link)s is not a PF: its card or driver has no SR-IOV.", link=link.name)
        fix = text("Choose another card, or turn on SR-IOV in the firmware of the card and of the host.")
        return [Problem(text=sentence, fix=fix, field="pf")]
    return []


def too_many(link: Link, numvfs: int) -> list[Problem]:
    if numvfs <= (link.totalvfs or 0):
        return []
    sentence = text("%(pf)s has at most %(totalvfs)s VFs (sriov_totalvfs).", pf=link.name, totalvfs=link.totalvfs)
    fix = text("Choose %(totalvfs)s or fewer.", totalvfs=link.totalvfs)
    return [Problem(text=sentence, fix=fix, field="numvfs")]


def numvfs(facts: HostFacts, pf: str, wanted: int) -> list[Problem]:
    """All that stands in the way of that number, each guest, network and link by its name."""
    link = facts.link(pf)
    if link is None:
        return links.link_is_missing(facts, pf, field="pf")
    if found := is_no_pf(link) or too_many(link, wanted):
        return found
    if not link.numvfs or wanted == link.numvfs:
        return []
    # The kernel goes from one number to another only through 0, which takes each VF from whoever uses it.
    row = vf_ledger.pf_row(facts, link)
    return [
        *_held(row),
        *_pools(row),
        *used_by_the_host(facts, row.rows, field="numvfs"),
        *_would_be_gone(row, wanted),
    ]


def carrier_goes(facts: HostFacts, pf: str, wanted: int | None = None) -> list[Problem]:
    """Measured with igb. The guard covers it where it lasts; that it happens at all is to be known before.

    wanted: None for any other number than that of now."""
    link = facts.link(pf)
    if link is None or (link.numvfs or 0) == wanted or guarding.why_risky(facts, (pf,)) is None:
        return []
    sentence = text(
        "%(pf)s carries this host's own network, and some drivers reset the whole card for this: with igb its carrier "
        "is gone for about 2 s.",
        pf=pf,
    )
    return [Problem(text=sentence, fix=text("Do it when nobody minds, or take a card that the host does not use."))]


def no_such_vf(facts: HostFacts, pf: str, index: int) -> list[Problem]:
    link = facts.link(pf)
    if link is None:
        return links.link_is_missing(facts, pf, field="pf")
    if found := is_no_pf(link):
        return found
    if any(vf.index == index for vf in link.vfs):
        return []
    sentence = text("%(pf)s has no VF %(vf)s.", pf=pf, vf=index)
    return [Problem(text=sentence, fix=text("Set the number of VFs of %(pf)s first.", pf=pf), field="vf")]


def attributes(facts: HostFacts, pf: str, index: int, wanted: VfAttributes) -> list[Problem]:
    """What stands in the way of these attributes. What the driver cannot do is known only by trying."""
    if found := no_such_vf(facts, pf, index):
        return found
    link = facts.link(pf)
    vf = next(one for one in link.vfs if one.index == index) if link else None
    return [*_owned(facts, vf, wanted), *mac_is_taken(facts, vf, wanted.mac)] if vf is not None else []


def mac_is_taken(facts: HostFacts, vf: Vf, mac: str | None) -> list[Problem]:
    """By a guest's card or another VF of this host."""
    if mac is None:
        return []
    fix = text("Choose another MAC address.")
    for guest in facts.domains:
        for card in guest.interfaces:
            if card.mac == mac and card.vf != vf.pci_address:
                sentence = text("%(mac)s is a card of %(guest)s already.", mac=mac, guest=guest.name)
                return [Problem(text=sentence, fix=fix, field="mac")]
    return mac_is_another_vf_s(facts, vf, mac)


def mac_is_another_vf_s(facts: HostFacts, vf: Vf, mac: str) -> list[Problem]:
    for pf in facts.links:
        for other in pf.vfs:
            if other.pci_address != vf.pci_address and mac in {other.mac, other.wanted.mac if other.wanted else None}:
                sentence = text("%(mac)s belongs to VF %(vf)s of %(pf)s.", mac=mac, vf=other.index, pf=pf.name)
                return [Problem(text=sentence, fix=text("Choose another MAC address."), field="mac")]
    return []


def used_by_the_host(facts: HostFacts, rows: Iterable[VfRow], *, field: str) -> list[Problem]:
    """VFs whose links have addresses of this host, are ports of a bridge, or have links on them."""
    used = [one.vf.link for one in rows if one.vf.link is not None and _is_used(facts, one.vf.link)]
    if not used:
        return []
    sentence = text("This host uses VFs itself: %(links)s.", links=", ".join(used))
    fix = text("Take their addresses and what stands on them away first.")
    return [Problem(text=sentence, fix=fix, field=field)]


def cards_of_their_own(rows: Iterable[VfRow], *, field: str) -> list[Problem]:
    """VFs that are cards of guests by name, without a network between."""
    named_by = [
        (one.vf, holder)
        for one in rows
        for holder in (one.holder, *one.waiting)
        if holder is not None and holder.card.type != "network"
    ]
    if not named_by:
        return []
    sentence = text("VFs are cards of guests on their own: %(guests)s.", guests=named(named_by))
    return [Problem(text=sentence, fix=text("Choose other VFs, or unplug these cards first."), field=field)]


def named(rows: list[tuple[Vf, Holder]]) -> str:
    """web1 (VF 0), db1 (VF 3)"""
    return ", ".join(f"{holder.guest.name} (VF {vf.index})" for vf, holder in rows)


def _held(row: PfRow) -> list[Problem]:
    held = [(one.vf, one.holder) for one in row.rows if one.holder is not None]
    if not held:
        return []
    sentence = text(
        "Guests own VFs of %(pf)s, and another number destroys all of them: %(guests)s.",
        pf=row.pf.name,
        guests=named(held),
    )
    return [Problem(text=sentence, fix=text("Unplug their cards or shut them down first."), field="numvfs")]


def _pools(row: PfRow) -> list[Problem]:
    active = [network.name for network in row.pools if network.active]
    if not active:
        return []
    sentence = text("Networks hand out the VFs of %(pf)s: %(networks)s.", pf=row.pf.name, networks=", ".join(active))
    return [Problem(text=sentence, fix=text("Stop them first, and start them again afterwards."), field="numvfs")]


def _is_used(facts: HostFacts, name: str) -> bool:
    link = facts.link(name)
    if link is None:
        return False
    children = any(one.parent == name and one.kind != "veth" for one in facts.links)
    return bool(link.master or links.addresses_on(link) or children)


def _would_be_gone(row: PfRow, wanted: int) -> list[Problem]:
    """Cards and networks that name a VF which would not be there any more: they would fail at their next start."""
    gone = [one for one in row.rows if one.vf.index >= wanted]
    found = []
    if waiting := [(one.vf, holder) for one in gone for holder in one.waiting]:
        sentence = text("Cards of guests are VFs that would be gone: %(guests)s.", guests=named(waiting))
        found.append(Problem(text=sentence, fix=text("Unplug these cards first."), field="numvfs"))
    addresses = {one.vf.pci_address for one in gone}
    if listing := [network.name for network in row.pools if not network.active and addresses & set(network.vfs)]:
        sentence = text("Networks list VFs that would be gone: %(networks)s.", networks=", ".join(listing))
        found.append(Problem(text=sentence, fix=text("Take these networks away first."), field="numvfs"))
    return found


def _owned(facts: HostFacts, vf: Vf, wanted: VfAttributes) -> list[Problem]:
    """While a guest has the VF libvirt sets its MAC address and VLAN by the guest's card."""
    owner = next((holder for holder in vf_ledger.holders(facts, vf) if holder.now), None)
    if owner is None:
        return []
    before = vf.wanted or VfAttributes()
    found = []
    if wanted.mac != before.mac:
        found.append(
            _owner_decides(
                "mac",
                text(
                    "%(guest)s owns the VF, and its card has the MAC address %(mac)s.",
                    guest=owner.guest.name,
                    mac=owner.card.mac,
                ),
            )
        )
    if (wanted.vlan, wanted.qos) != (before.vlan, before.qos):
        found.append(
            _owner_decides(
                "vlan", text("%(guest)s owns the VF, and its card or network names the VLAN.", guest=owner.guest.name)
            )
        )
    return found


def _owner_decides(field: str, sentence: Text) -> Problem:
    return Problem(text=sentence, fix=text("Change it once the guest has let go of the VF."), field=field)
