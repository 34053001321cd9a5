"""How a network that libvirt serves itself (NAT, host-only) comes, changes and goes: its bridge, our rules for it."""

from __future__ import annotations

from ipaddress import IPv4Interface

from virtnet import checks
from virtnet.facts import HostFacts
from virtnet.firewall import NetworkRules
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.spec import Problem


def problems(facts: HostFacts, ref: NetworkRef, bridge: str, address: IPv4Interface, *, field: str) -> list[Problem]:
    """field: the one of the address."""
    return [
        *checks.name_is_taken(facts, ref),
        *checks.bridge_is_taken(facts, ref, bridge),
        *checks.subnet_overlaps(facts, ref, address.network, field=field),
    ]


def apply(host: Host, ref: NetworkRef, xml: str, rules: NetworkRules) -> None:
    host.define_network(ref, xml)
    host.set_autostart(ref, True)
    # Before the bridge is there, so that no packet passes without the rules.
    host.load_firewall(ref, rules)
    host.start_network(ref)


def update(host: Host, ref: NetworkRef, xml: str, rules: NetworkRules) -> None:
    host.load_firewall(ref, rules)
    host.update_network(ref, xml)


def remove(host: Host, ref: NetworkRef) -> None:
    host.destroy_network(ref)
    host.undefine_network(ref)
    host.load_firewall(ref, None)
