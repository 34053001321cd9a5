"""What may stand in the way of more than one mode: a name, a bridge or a subnet that is taken."""

from __future__ import annotations

from ipaddress import IPv4Network

from virtnet.facts import HostFacts, NetworkFacts
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import text


def name_is_taken(facts: HostFacts, ref: NetworkRef) -> list[Problem]:
    if any(network.name == ref.name for network in _others(facts, ref)):
        return [
            Problem(
                text=text("This host has a network %(network)s already.", network=ref.name),
                fix=text("Choose another name."),
                field="name",
            )
        ]
    return []


def bridge_is_taken(facts: HostFacts, ref: NetworkRef, bridge: str) -> list[Problem]:
    """A libvirt-made bridge needs a name that no other network and no link has."""
    for network in _others(facts, ref):
        if network.bridge == bridge:
            sentence = text("%(bridge)s is the bridge of the network %(network)s.", bridge=bridge, network=network.name)
            break
    else:
        own = any(network.uuid == ref.uuid and network.bridge == bridge for network in facts.networks)
        if own or not facts.link(bridge):
            return []
        sentence = text("This host has a link %(bridge)s already.", bridge=bridge)
    return [Problem(text=sentence, fix=text("Choose another bridge name."), field="bridge")]


def subnet_overlaps(facts: HostFacts, ref: NetworkRef, subnet: IPv4Network, *, field: str) -> list[Problem]:
    """Against the other networks, the addresses of the host's links, and its routes (a default route is no overlap)."""
    fix = text("Choose another subnet.")
    own = {network.bridge for network in facts.networks if network.uuid == ref.uuid} - {None}
    others = [other for other in _others(facts, ref) if other.bridge not in own]
    for network in others:
        for address in network.subnets:
            if _overlap(address.network, subnet):
                sentence = text(
                    "%(subnet)s overlaps %(other)s of the network %(network)s.",
                    subnet=subnet,
                    other=address.network,
                    network=network.name,
                )
                return [Problem(text=sentence, fix=fix, field=field)]
    for link in facts.links:
        for address in link.addresses:
            if link.name not in own and _overlap(address.network, subnet):
                sentence = text(
                    "%(subnet)s overlaps %(other)s of the host's link %(link)s.",
                    subnet=subnet,
                    other=address.network,
                    link=link.name,
                )
                return [Problem(text=sentence, fix=fix, field=field)]
    for route in facts.routes:
        if route.dev not in own and route.dst.prefixlen > 0 and _overlap(route.dst, subnet):
            sentence = text("%(subnet)s overlaps the host's route to %(other)s.", subnet=subnet, other=route.dst)
            return [Problem(text=sentence, fix=fix, field=field)]
    return []


def subnet_is_public(subnet: IPv4Network, *, field: str) -> list[Problem]:
    """A note, not an obstacle: a data centre may own the range."""
    if not subnet.is_global:
        return []
    return [
        Problem(
            text=text(
                "%(subnet)s is a public range: guests do not reach the machines on the Internet that have these "
                "addresses.",
                subnet=subnet,
            ),
            fix=text("Unless the range is yours, use a private one, such as 192.168.77.0/24."),
            field=field,
        )
    ]


def _others(facts: HostFacts, ref: NetworkRef) -> list[NetworkFacts]:
    return [network for network in facts.networks if network.uuid != ref.uuid]


def _overlap(one: object, other: IPv4Network) -> bool:
    return isinstance(one, IPv4Network) and one.overlaps(other)
