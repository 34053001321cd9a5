"""What hangs on a link of the host: the networks and the guests whose packets leave by it."""

from __future__ import annotations

from dataclasses import dataclass

from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.modes import MODES


@dataclass(frozen=True)
class Hanging:
    """Names, in the order of the facts."""

    networks: tuple[str, ...]
    guests: tuple[str, ...]  # those that are plugged in now


def hanging_on(facts: HostFacts, link: str) -> Hanging:
    """Of links, also what stands on them: bridges with the link as a port, its VLANs and VFs, and, where the host's
    default route leaves by it, the networks that leave by the host itself."""
    above = _standing_on(facts, link)
    by_the_host = any(route.dev in above and route.dst.prefixlen == 0 for route in facts.routes)
    networks = {
        network.name
        for network in facts.networks
        if network.bridge in above or above.intersection(network.devs) or (by_the_host and _leaves_by_the_host(network))
    }
    vfs = {vf.pci_address for one in facts.links if one.name in above for vf in one.vfs}
    guests = [
        guest.name
        for guest in facts.domains
        if any(card.live and _is_on(card, networks, above, vfs) for card in guest.interfaces)
    ]
    return Hanging(tuple(one.name for one in facts.networks if one.name in networks), tuple(guests))


def _standing_on(facts: HostFacts, link: str) -> set[str]:
    found = {link}
    while True:
        more = {one.master for one in facts.links if one.name in found and one.master}
        # A veth's other end is no link above it.
        more |= {one.name for one in facts.links if one.parent in found and one.kind != "veth"}
        if more <= found:
            return found
        found |= more


def _leaves_by_the_host(network: NetworkFacts) -> bool:
    """Whether its guests' packets are routed by the host: those of a foreign mode may well be."""
    if not network.subnets:
        return False
    mode = MODES.get(network.mode)
    return mode is None or any(one.reachability().guest_to_internet.reachable != "no" for one in mode.examples())


def _is_on(card: InterfaceFacts, networks: set[str], links: set[str], vfs: set[str]) -> bool:
    return (card.source in networks if card.type == "network" else card.source in links) or card.vf in vfs
