"""What may stand in the way of a mode that sits on a link of the host: the link is missing, wireless, or taken."""

from __future__ import annotations

from virtnet.facts import HostFacts
from virtnet.link_facts import Link, Route
from virtnet.spec import Problem
from virtnet.text import Text, text


def link_is_missing(facts: HostFacts, name: str, *, field: str) -> list[Problem]:
    if facts.link(name):
        return []
    sentence = text("This host has no link %(link)s.", link=name)
    return [Problem(text=sentence, fix=text("Choose a link from the host's list."), field=field)]


def link_is_no_uplink(link: Link, *, field: str) -> list[Problem]:
    """The loopback, and what belongs to one guest: frames on them never reach a LAN."""
    if link.name != "lo" and link.kind not in {"tun", "macvtap", "ipvtap"}:
        return []
    sentence = text("%(link)s leads to no LAN.", link=link.name)
    return [Problem(text=sentence, fix=text("Choose a network card, a bond or a VLAN."), field=field)]


def link_is_wireless(link: Link, *, field: str, fix: Text) -> list[Problem]:
    """An access point takes frames only from the MAC address that logged in, because a frame to it has three
    addresses: there is no room for a guest's own. See https://wiki.linuxfoundation.org/networking/bridge#it_doesn_t_work_with_my_wireless_card
    """
    if not link.wireless:
        return []
    sentence = text(
        "%(link)s is a Wi-Fi link: its frames have 3 addresses, so the access point drops those of a guest with a MAC "
        "address of its own.",
        link=link.name,
    )
    return [Problem(text=sentence, fix=fix, field=field)]


def link_is_a_port(link: Link, *, field: str, fix: Text, of_another_than: str | None = None) -> list[Problem]:
    """A port of a bridge, bond or other master; `of_another_than` is the one master that is right."""
    if link.master is None or link.master == of_another_than:
        return []
    sentence = text("%(link)s is a port of %(bridge)s already.", link=link.name, bridge=link.master)
    return [Problem(text=sentence, fix=fix, field=field)]


def link_is_a_bridge(link: Link, *, field: str) -> list[Problem]:
    if link.kind != "bridge":
        return []
    sentence = text("%(link)s is a bridge, and a bridge cannot be a port of another.", link=link.name)
    return [
        Problem(text=sentence, fix=text("Use %(link)s as the bridge, without an uplink.", link=link.name), field=field)
    ]


def default_route_on(facts: HostFacts, link: str) -> bool:
    """Whether the host's way out, IPv4 or IPv6, is this link."""
    return any(route.dev == link and route.dst.prefixlen == 0 for route in facts.routes)


def addresses_on(link: Link) -> list[str]:
    """The addresses by which others reach the host on this link, e.g. ["10.0.0.5/24"]; IPv6's link-local ones do not
    count: the kernel gives each link one by itself."""
    return [str(address) for address in link.addresses if not (address.version == 6 and address.is_link_local)]


def routes_on(facts: HostFacts, link: str) -> list[str]:
    """The subnets that the host reaches by this link, the default route and IPv6's link-local ones left out."""
    return [
        str(route.dst)
        for route in facts.routes
        if route.dev == link and route.dst.prefixlen > 0 and not (route.dst.is_link_local or route.dst.is_multicast)
    ]


def routes_over(facts: HostFacts, link: str) -> list[Route]:
    """The routes over this link, without those that come with a link-local address."""
    return [
        route
        for route in facts.routes
        if route.dev == link and not (route.dst.version == 6 and route.dst.is_link_local)
    ]
