"""The MTU of a bridge that the panel made. Its uplinks have it too, and so have its guests' taps.

What a port is sent that is longer than its MTU is dropped without a word, so a port is raised before its bridge, and
lowered after it. A tap that comes later gets the bridge's own from libvirt.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from virtnet.bridges import Wiring
from virtnet.facts import HostFacts
from virtnet.link_facts import Link
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import gettext_noop, text

# On a link below the first there is no IPv6 (RFC 8200), and the kernel takes its addresses away; the second is the most
# that it takes of a bridge.
SMALLEST, LARGEST = 1280, 65535
TAP = "tun"  # IFLA_INFO_KIND

Mtu = Annotated[
    int | None,
    Field(
        ge=SMALLEST,
        le=LARGEST,
        title=gettext_noop("MTU"),
        description=gettext_noop(
            "Of the bridge, its uplinks and the guests' taps; every machine of the LAN must have the same. Leave empty "
            "to take the uplink's, and on a bridge that is there to leave it as it is."
        ),
    ),
]


def problems(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> list[Problem]:
    """What of it cannot be on this host."""
    found = facts.link(wanted.bridge)
    if wanted.mtu is None:
        return []
    if found is not None and found.made_for != ref.uuid:
        if found.mtu == wanted.mtu:
            return []
        own = next((network.name for network in facts.networks if network.uuid == found.made_for), None)
        if own is not None:
            fix = text("Edit the network %(network)s, for which it was made.", network=own)
        else:
            fix = text("Choose a name for a bridge that is not there yet.")
        sentence = text(
            "%(bridge)s is there already, with MTU %(mtu)s, and keeps it.", bridge=found.name, mtu=found.mtu
        )
        return [Problem(text=sentence, fix=fix, field="mtu")]
    for name in _uplinks(wanted):
        link = facts.link(name)
        if link is not None and link.max_mtu is not None and link.max_mtu < wanted.mtu:
            sentence = text("%(link)s takes an MTU of at most %(most)s.", link=name, most=link.max_mtu)
            return [Problem(text=sentence, fix=text("Choose a lower MTU, or another uplink."), field="mtu")]
    return []


def notes(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> list[Problem]:
    """Who must hear of it: guests whose taps follow, and others' ports, which do not."""
    found = facts.link(wanted.bridge)
    if wanted.mtu is None or found is None or found.made_for != ref.uuid:
        return []
    told = []
    taps = {link.name for link in _on(facts, wanted) if link.kind == TAP and link.mtu != wanted.mtu}
    guests = [one.name for one in facts.domains if any(card.target in taps for card in one.interfaces)]
    if guests:
        sentence = text(
            "The taps of %(guests)s get MTU %(mtu)s too. Inside a guest it stays as it is: what is longer than "
            "%(mtu)s is dropped.",
            guests=", ".join(guests),
            mtu=wanted.mtu,
        )
        told.append(Problem(text=sentence, fix=text("Set the same MTU inside, a lower one before this change.")))
    others = [
        link.name
        for link in _on(facts, wanted)
        if link.kind != TAP and link.name not in _uplinks(wanted) and link.mtu < wanted.mtu
    ]
    if others:
        sentence = text(
            "%(ports)s on %(bridge)s keeps its own MTU: what is longer is dropped there.",
            ports=", ".join(others),
            bridge=wanted.bridge,
        )
        told.append(Problem(text=sentence, fix=text("Set it there too: ip link set %(port)s mtu …", port=others[0])))
    return told


def followers(facts: HostFacts, wanted: Wiring) -> dict[str, int]:
    """The ports that have the bridge's MTU, each with its own of now: uplinks, also those that are still to join, and
    guests' taps."""
    links = [facts.link(name) for name in _uplinks(wanted)]
    links += [link for link in _on(facts, wanted) if link.kind == TAP]
    return {link.name: link.mtu for link in links if link is not None}


def in_order(bridge: str, ports: dict[str, int], mtu: int) -> list[str]:
    """bridge and ports, in the order in which they get it. ports: with their MTU of now."""
    raised = [name for name, now in ports.items() if now <= mtu]
    return [*raised, bridge, *(name for name in ports if name not in raised)]


def _uplinks(wanted: Wiring) -> list[str]:
    return [name for name in (wanted.uplink, wanted.second) if name is not None]


def _on(facts: HostFacts, wanted: Wiring) -> list[Link]:
    return [link for link in facts.links if link.master == wanted.bridge]
