"""What may stand in the way of a bridge's name, its uplinks, STP, MTU, and of its surviving a restart."""

from __future__ import annotations

from virtnet import bridge_mtu, bridges, direct, links, persist, spanning_tree, surprises
from virtnet.bridges import Wiring
from virtnet.facts import HostFacts
from virtnet.link_facts import Link
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import text


def problems(facts: HostFacts, ref: NetworkRef, wanted: Wiring, mode: str, *, lasts: bool) -> list[Problem]:
    """mode: of the networks that leave their bridge to the host."""
    return [
        *(_name(facts, ref, wanted.bridge, mode) or bridges.ports_stay(facts, ref, wanted.bridge, wanted.uplink)),
        *(_uplinks(facts, wanted, lasts=lasts) or persist.problems(facts, ref, wanted, lasts=lasts)),
        *spanning_tree.problems(facts, ref, wanted),
        *bridge_mtu.problems(facts, ref, wanted),
    ]


def notes(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> list[Problem]:
    """What a person should know of such a bridge on this host."""
    return [*surprises.of_a_bridge(facts, wanted.bridge, wanted.uplink), *bridge_mtu.notes(facts, ref, wanted)]


def _name(facts: HostFacts, ref: NetworkRef, bridge: str, mode: str) -> list[Problem]:
    fix = text("Choose another bridge name.")
    link = facts.link(bridge)
    if link is not None and link.kind != "bridge":
        sentence = text("%(link)s is a link of this host, but no bridge.", link=bridge)
        return [Problem(text=sentence, fix=fix, field="bridge")]
    for network in facts.networks:
        if network.bridge == bridge and network.uuid != ref.uuid and network.mode != mode:
            sentence = text(
                "%(bridge)s is made by libvirt for the network %(network)s, and goes when that is stopped.",
                bridge=bridge,
                network=network.name,
            )
            return [Problem(text=sentence, fix=fix, field="bridge")]
    return []


def _uplinks(facts: HostFacts, wanted: Wiring, *, lasts: bool) -> list[Problem]:
    found: list[Problem] = []
    for field, name in (("uplink", wanted.uplink), ("second_uplink", wanted.second)):
        link = facts.link(name or "")
        if name is not None and link is None:
            found += links.link_is_missing(facts, name, field=field)
        elif link is not None and link.master != wanted.bridge and (field == "uplink" or name != wanted.uplink):
            found += _uplink(facts, link, field, lasts=lasts and field == "uplink")
            found += spanning_tree.second_is_not_free(facts, wanted.uplink, link) if field != "uplink" else []
    return found


def _uplink(facts: HostFacts, link: Link, field: str, *, lasts: bool) -> list[Problem]:
    """Of a link that is to become a port."""
    other = text("Use %(bridge)s as the bridge, or another uplink.", bridge=link.master)
    return [
        *links.link_is_wireless(link, field=field, fix=text("Use a cable, or choose NAT.")),
        *links.link_is_no_uplink(link, field=field),
        *links.link_is_a_port(link, field=field, fix=other),
        *links.link_is_a_bridge(link, field=field),
        *direct.carries_macvtap(facts, link.name, field=field),
        *bridges.uplink_is_not_free(facts, link, field=field, lasts=lasts),
    ]
