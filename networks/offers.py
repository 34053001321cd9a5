"""Which links of a host a form offers, and why it does not offer the others.

The reasons are those that would stand in the way of the change itself, so the list and the answer never differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext

from pages.translation import translated
from virtnet.facts import HostFacts
from virtnet.link_facts import Link, Vf
from virtnet.spec import Problem
from virtnet.vf_ledger import find_vf


@dataclass(frozen=True)
class Withheld:
    """Links that are not offered for one reason."""

    links: str  # "eth0, eth1"
    because: str


@dataclass(frozen=True)
class Offers:
    names: tuple[str, ...]
    withheld: tuple[Withheld, ...]


def offers(facts: HostFacts, names: Iterable[str], in_the_way: Callable[[str], list[Problem]]) -> Offers:
    """`names` may be offered at all; `in_the_way` says what keeps one of them from it. The loopback and the guests'
    ends on the host are left out: nobody looks for them."""
    possible, offered = set(names), []
    reasons: dict[str, list[str]] = {}
    for link in _sought(facts):
        found = in_the_way(link.name)
        if not found and link.name in possible:
            offered.append(link.name)
            continue
        because = translated(found[0].text) if found else _of_a_kind(link)
        reasons.setdefault(because, []).append(link.name)
    return Offers(tuple(offered), tuple(Withheld(", ".join(links), because) for because, links in reasons.items()))


def described(facts: HostFacts, name: str) -> str:
    """A link or VF with what helps to choose it: its state, speed, MTU, VFs, and the default route."""
    if (found := find_vf(facts, name)) is not None:
        return _described_vf(*found)
    link = facts.link(name)
    if link is None:
        return name
    said = [link.operstate] if link.operstate else []
    if link.speed:
        said.append(f"{link.speed / 1000:g} Gbit/s" if link.speed >= 1000 else f"{link.speed} Mbit/s")
    if link.mtu:
        said.append(f"MTU {link.mtu}")
    if link.totalvfs:
        said.append(gettext("at most %(totalvfs)s VFs") % {"totalvfs": link.totalvfs})
    if facts.default_route_dev == name:
        said.append(gettext("default route"))
    return f"{name} ({', '.join(said)})" if said else name


def _described_vf(pf: Link, vf: Vf) -> str:
    said = f"{vf.pci_address}, {vf.driver}" if vf.driver else vf.pci_address
    return gettext("VF %(vf)s of %(pf)s (%(about)s)") % {"vf": vf.index, "pf": pf.name, "about": said}


def _sought(facts: HostFacts) -> Iterator[Link]:
    ends = {card.target for guest in facts.domains for card in guest.interfaces}
    return (link for link in facts.links if link.name != "lo" and link.name not in ends)


def _of_a_kind(link: Link) -> str:
    if not link.kind:
        return gettext("A guest or a network of libvirt uses it.")
    return gettext("It is of the kind %(kind)s; offered are network cards, bonds, teams, VLANs and veths.") % {
        "kind": link.kind
    }
