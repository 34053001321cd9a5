"""What a form may offer for an empty field: names and subnets that are free on this host."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from itertools import count

from virtnet.facts import HostFacts


def free_name(facts: HostFacts, stem: str) -> str:
    """`stem`, or `stem-2`, `stem-3` … when networks of the host have those names."""
    taken = {network.name for network in facts.networks}
    if stem not in taken:
        return stem
    return next(f"{stem}-{number}" for number in count(2) if f"{stem}-{number}" not in taken)


def free_bridge(facts: HostFacts, stem: str = "virbr", first: int = 1) -> str:
    """The first of `virbr1`, `virbr2` … that neither a link nor a network has. `virbr0` is libvirt's own `default`."""
    taken = {link.name for link in facts.links} | {network.bridge for network in facts.networks}
    return next(f"{stem}{number}" for number in count(first) if f"{stem}{number}" not in taken)


def host_bridge(facts: HostFacts) -> str:
    """A bridge of the host's own that is there already, else a free `br0`, `br1` …"""
    libvirts = {network.bridge for network in facts.networks if network.subnets}
    return next((name for name in facts.bridges if name not in libvirts), free_bridge(facts, "br", 0))


def free_subnet(facts: HostFacts) -> IPv4Network | None:
    """The first 192.168.X.0/24 from X = 100 that overlaps nothing on the host; None when all are taken."""
    taken = [address.network for link in facts.links for address in link.addresses]
    taken += [address.network for network in facts.networks for address in network.subnets]
    taken += [route.dst for route in facts.routes if route.is_main and route.dst.prefixlen > 0]
    taken_v4 = [subnet for subnet in taken if isinstance(subnet, IPv4Network)]
    for third in (*range(100, 255), *range(1, 100)):
        subnet = IPv4Network(f"192.168.{third}.0/24")
        if not any(subnet.overlaps(other) for other in taken_v4):
            return subnet
    return None


def served_subnet(facts: HostFacts, address_field: str) -> dict[str, str]:
    """The host's address (`address_field`) and the range of leases of a free subnet; nothing when none is free."""
    subnet = free_subnet(facts)
    if subnet is None:
        return {}
    return {
        address_field: str(IPv4Interface(f"{subnet[1]}/{subnet.prefixlen}")),
        "first_lease": str(subnet[10]),
        "last_lease": str(subnet[200]),
    }


def only_one(names: tuple[str, ...]) -> str | None:
    """The one name there is to choose; None when there are none or several."""
    return names[0] if len(names) == 1 else None
