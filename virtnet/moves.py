"""What a link carries of its host, and its move to another: lines for `ip -batch`, in the order that loses nothing.

The preview shows these lines and the agent runs them. Measured with 5 ms probes: see tests/agent/test_bridge_move.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from virtnet import links
from virtnet.facts import HostFacts
from virtnet.link_facts import Link, Route


@dataclass(frozen=True)
class Address:
    """words: as `ip address add` takes it, without the link: "10.0.0.5/24 brd 10.0.0.255"."""

    words: str
    ipv6: bool
    dynamic: bool = False  # given for a time, by DHCP or by a router

    def on(self, link: str) -> Address:
        """The same on another link: a label begins with the link's name."""
        return replace(self, words=re.sub(r"(?<= label )[^ :]+", link, self.words))

    def put_on(self, link: str) -> str:
        # The same MAC has proved the address already: it must not be mute for the second that a new proof takes.
        return f"address replace {self.words} dev {link}" + (" nodad" if self.ipv6 else "")

    def take_from(self, link: str) -> str:
        return f"address delete {self.words.split()[0]} dev {link}"

    def as_it_was(self, link: str) -> list[str]:
        """Without the flag `nodad`, which would stay for good."""
        return [f"address change {self.words} dev {link}"] if self.ipv6 else []


@dataclass(frozen=True)
class Carried:
    """What hangs on a link. `routes` and `rules`: as `ip` prints them, with the link's name in them. `ahead`: those of
    the routes that come before one to the same place over another link. `neighbours`: as `ip neighbour replace` takes
    them, without the link."""

    link: str
    addresses: tuple[Address, ...] = ()
    routes: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    rules: tuple[tuple[Literal[4, 6], str], ...] = ()
    neighbours: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.addresses or self.routes or self.rules)


def into_bridge(carried: Carried, bridge: str) -> list[str]:
    """The uplink becomes a port, and the bridge takes over what it carried."""
    return [*prepare(carried, bridge), join_bridge(carried.link, bridge), *hand_over(carried, bridge)]


def join_bridge(uplink: str, bridge: str) -> str:
    """The uplink still carries all, and either link answers."""
    return f"link set dev {uplink} master {bridge}"


def out_of_bridge(
    carried: Carried, uplink: str, *, second: str | None = None, mtus: Mapping[str, int] | None = None, mtu: int = 0
) -> list[str]:
    """The bridge's former uplink leaves it and takes over what the bridge carried; then the bridge goes. A second
    uplink leaves it before that. mtus: the uplinks' own, where they are to have them again; mtu: theirs of now."""
    return [
        *raised(mtus or {}, mtu),
        *(leave_second(carried.link, second) if second is not None else []),
        *leave_bridge(carried, uplink),
        *give_up_bridge(carried, uplink),
        *lowered(mtus or {}, mtu),
    ]


def raised(mtus: Mapping[str, int], now: int) -> list[str]:
    """Before there is a route on it: the kernel takes an IPv6 route's own MTU for the link's where it is the same."""
    return [line for name, mtu in mtus.items() if mtu > now for line in own_mtus({name: mtu})]


def lowered(mtus: Mapping[str, int], now: int) -> list[str]:
    return [line for name, mtu in mtus.items() if mtu <= now for line in own_mtus({name: mtu})]


def own_mtus(mtus: Mapping[str, int]) -> list[str]:
    return [f"link set dev {name} mtu {mtu}" for name, mtu in mtus.items()]


def leave_second(bridge: str, second: str) -> list[str]:
    """The first uplink, on its own, needs no STP."""
    return [f"link set dev {second} nomaster", f"link set dev {bridge} type bridge stp_state 0"]


def leave_bridge(carried: Carried, uplink: str) -> list[str]:
    """All is sent by the uplink, which is no port any more, and either link answers."""
    return [*prepare(carried, uplink), *_routes_to(carried, uplink), f"link set dev {uplink} nomaster"]


def give_up_bridge(carried: Carried, uplink: str) -> list[str]:
    return [*_addresses_to(carried, uplink), f"link delete dev {carried.link}"]


def rules_of(carried: Carried, target: str) -> dict[Literal[4, 6], list[str]]:
    """Policy rules that name the link, named after the target: by version, for `ip`, which is for IPv4, and `ip -6`."""
    lines: dict[Literal[4, 6], list[str]] = {4: [], 6: []}
    for version, rule in carried.rules:
        lines[version] += [f"rule add {renamed(rule, carried.link, target)}", f"rule delete {rule}"]
    return lines


def renamed(words: str, link: str, target: str) -> str:
    """A route or rule with another link in the place of `link`."""
    found = words.split()
    before = ["", *found]
    return " ".join(
        target if word == link and previous in {"dev", "iif", "oif"} else word
        for previous, word in zip(before, found, strict=False)
    )


def on_link_first(routes: Iterable[str]) -> tuple[str, ...]:
    """A gateway is taken only where a route to it is there: of an address with `noprefixroute`, NetworkManager's, the
    kernel makes none."""
    return tuple(sorted(routes, key=lambda route: "via" in route.split()))


def handed_over(route: str) -> str:
    """A route as the other link gets it. One that a router announced is renewed by the kernel itself; it would not take
    one of ours for its own, so ours stands behind and runs out."""
    words = route.split()
    if "ra" in words and "metric" in words and words[words.index("ra") - 1] == "proto":
        at = words.index("metric") + 1
        words[at] = str(int(words[at]) + 1)
    return " ".join(words)


def prepare(carried: Carried, target: str) -> list[str]:
    """From here on either link answers for the addresses, and the target knows the neighbours: a question to one of
    them, asked in the moment of the move, would wait a second for its answer."""
    addresses = [address.on(target).put_on(target) for address in carried.addresses]
    return addresses + [f"neighbour replace {neighbour} dev {target}" for neighbour in carried.neighbours]


def hand_over(carried: Carried, target: str) -> list[str]:
    """What the link carries goes to the target."""
    return [*_routes_to(carried, target), *_addresses_to(carried, target)]


def _routes_to(carried: Carried, target: str) -> list[str]:
    lines = []
    for route in in_their_order(carried):
        lines += put_route(renamed(handed_over(route), carried.link, target), ahead=route in carried.ahead)
        lines.append(f"route delete {route}")
    return lines


def in_their_order(carried: Carried) -> list[str]:
    """The routes as they are put on a link one after the other: of those that are put ahead the last comes first."""
    if not carried.ahead:
        return list(carried.routes)
    behind = [route for route in carried.routes if route not in carried.ahead]
    return list(on_link_first([*behind, *reversed(carried.ahead)]))


def put_route(route: str, *, ahead: bool) -> list[str]:
    """ahead: before those over other links, also where the kernel has put it behind them, with its address."""
    return [f"route append {route}", *([f"route delete {route}", f"route prepend {route}"] if ahead else [])]


def _addresses_to(carried: Carried, target: str) -> list[str]:
    # The first IPv4 address of a subnet would take the others with it.
    lines = [address.take_from(carried.link) for address in reversed(carried.addresses)]
    return lines + [line for address in carried.addresses for line in address.as_it_was(target)]


def carried_on(facts: HostFacts, link: Link) -> Carried:
    """As far as the facts tell it: what the preview shows."""
    addresses = [
        Address(str(one), one.version == 6, one in link.dynamic)
        for one in link.addresses
        if not (one.version == 6 and one.is_link_local)
    ]
    return Carried(
        link=link.name,
        addresses=tuple(addresses),
        routes=on_link_first(_words(route) for route in links.routes_over(facts, link.name)),
        rules=tuple(
            (rule.version, f"priority {rule.priority} {rule.selector} lookup {rule.table}")
            for rule in facts.rules
            if link.name in {rule.iif, rule.oif}
        ),
    )


def _words(route: Route) -> str:
    words = [str(route.dst)]
    words += ["via", str(route.gateway)] if route.gateway else []
    words += ["dev", route.dev or "?"]
    words += ["table", str(route.table)] if not route.is_main else []
    words += ["proto", route.proto] if route.proto else []
    words += ["scope", route.scope] if route.scope not in {"", "global"} else []
    words += ["src", str(route.prefsrc)] if route.prefsrc else []
    words += ["metric", str(route.metric)] if route.metric else []
    return " ".join(words)
