"""What an action would do to the host's own links, addresses, routes and files, and whether it may cut the host off.

The action's own `apply` runs on a host that only foresees, so the forecast, the plan and the agent's work are the same
lines. Networks that libvirt makes are not among it: their documents say what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtnet import bridge_mtu, guarding, links, moves
from virtnet.actions import Action
from virtnet.bridges import Wiring
from virtnet.configuration import FileChange
from virtnet.facts import HostFacts
from virtnet.hanging import Hanging, hanging_on
from virtnet.host import Asks
from virtnet.link_facts import Link, Route, Rule
from virtnet.plan import RecordingHost
from virtnet.refs import NetworkRef
from virtnet.text import Text


@dataclass(frozen=True)
class Guarded:
    """A change that may cut the host off: it is done under a guard, and waits so many seconds for its confirmation.

    mute: seconds that the host may not be reached meanwhile, because a bridge with STP does not forward yet.
    """

    why: Text
    hanging: Hanging
    asks: Asks
    seconds: int
    mute: int = 0


@dataclass(frozen=True)
class Forecast:
    """`before` and `after`: what changes, in the words of `ip`, a line each. The two links are those of before."""

    guarded: Guarded | None
    before: str
    after: str
    files: tuple[FileChange, ...]
    way_to_panel: str | None
    default_route_dev: str | None


def forecast(action: Action, facts: HostFacts) -> Forecast:
    host = _ForeseeingHost(facts)
    action.apply(host)
    names = changed(facts, host.after)
    return Forecast(
        guarded=host.guarded,
        before=listing(facts, names),
        after=listing(host.after, names),
        files=tuple(host.files),
        way_to_panel=facts.way_to_panel,
        default_route_dev=facts.default_route_dev,
    )


class _ForeseeingHost(RecordingHost):
    """Keeps the facts as they would be: `after`."""

    def __init__(self, facts: HostFacts) -> None:
        super().__init__(facts)
        self.after = facts
        self.guarded: Guarded | None = None

    def arm_guard(
        self,
        links: tuple[str, ...],
        asks: Asks = "panel",
        *,
        new: tuple[str, ...] = (),
        network: NetworkRef | None = None,
        mute: int = 0,
    ) -> None:
        super().arm_guard(links, asks, new=new, network=network, mute=mute)
        why = guarding.why_risky(self._facts, links, network)
        if why is not None:
            found = [hanging_on(self._facts, link) for link in links]
            hanging = Hanging(
                tuple(dict.fromkeys(name for one in found for name in one.networks)),
                tuple(dict.fromkeys(name for one in found for name in one.guests)),
            )
            self.guarded = Guarded(why, hanging, asks, int(guarding.window(self._facts.confirm_seconds, mute)), mute)

    def add_bridge(self, bridge: str, network: NetworkRef, uplink: str | None, second: str | None = None) -> None:
        super().add_bridge(bridge, network, uplink, second)
        if self.after.link(bridge) is None:
            like = self.after.link(uplink) if uplink is not None else None
            made = Link(
                name=bridge,
                index=0,
                kind="bridge",
                mtu=like.mtu if like else 1500,
                mac=like.mac if like else "",
                stp=False,
            )
            self.after = self.after.model_copy(update={"links": (*self.after.links, made)})

    def delete_bridge(self, bridge: str, network: NetworkRef) -> None:
        asked = len(self.verbs)
        super().delete_bridge(bridge, network)
        found = self.after.link(bridge)
        if len(self.verbs) == asked or found is None:
            return  # it stays
        carried = moves.carried_on(self.after, found)
        for port in self.after.bridges[bridge]:
            self._change(port, master=None, **_own_mtu(found, port))
            if port in found.made_with_down and not (carried and port == found.made_with):
                self._change(port, up=False)
        if found.made_with is not None:
            self._move(bridge, found.made_with)
        self.after = self.after.model_copy(
            update={
                "links": tuple(link for link in self.after.links if link.name != bridge),
                "routes": tuple(route for route in self.after.routes if route.dev != bridge),
            }
        )

    def set_master(self, link: str, bridge: str) -> None:
        super().set_master(link, bridge)
        found = self.after.link(link)
        if found is not None and found.master != bridge:
            self._change(link, master=bridge)
            self._move(link, bridge)

    def replace_second(self, bridge: str, network: NetworkRef, second: str | None) -> None:
        asked = len(self.verbs)
        super().replace_second(bridge, network, second)
        found = self.after.link(bridge)
        if found is not None and len(self.verbs) > asked:
            former = found.made_with_second or ""
            was_down = {"up": False} if former in found.made_with_down else {}
            self._change(former, master=None, **was_down, **_own_mtu(found, former))

    def set_stp(self, bridge: str, network: NetworkRef, forward_delay: int) -> None:
        asked = len(self.verbs)
        super().set_stp(bridge, network, forward_delay)
        if len(self.verbs) > asked:
            self._change(bridge, stp=forward_delay > 0, forward_delay=float(forward_delay))

    def set_mtu(self, network: NetworkRef, wanted: Wiring) -> None:
        asked = len(self.verbs)
        super().set_mtu(network, wanted)
        if len(self.verbs) > asked:
            for name in (wanted.bridge, *bridge_mtu.followers(self._facts, wanted)):
                self._change(name, mtu=wanted.mtu)

    def set_up(self, link: str) -> None:
        super().set_up(link)
        self._change(link, up=True)

    def set_numvfs(self, pf: str, numvfs: int) -> None:
        super().set_numvfs(pf, numvfs)
        self._change(pf, numvfs=numvfs)

    def _move(self, link: str, target: str) -> None:
        """The addresses, routes and rules go over; the same MAC gives the same link-local address."""
        source, to = self.after.link(link), self.after.link(target)
        if source is None or to is None:
            return
        self._change(target, addresses=(*to.addresses, *(one for one in source.addresses if one not in to.addresses)))
        self._change(link, addresses=())
        self.after = self.after.model_copy(
            update={
                "routes": tuple(
                    route.model_copy(update={"dev": target}) if route.dev == link else route
                    for route in self.after.routes
                ),
                "rules": tuple(_renamed(rule, link, target) for rule in self.after.rules),
            }
        )

    def _change(self, name: str, **values: object) -> None:
        links = tuple(link.model_copy(update=values) if link.name == name else link for link in self.after.links)
        self.after = self.after.model_copy(update={"links": links})


def _own_mtu(bridge: Link, uplink: str) -> dict[str, int]:
    """That it had before, where the panel has set another."""
    own = dict(bridge.made_with_mtus).get(uplink)
    return {"mtu": own} if own is not None else {}


def _renamed(rule: Rule, link: str, target: str) -> Rule:
    named = {field: target for field in ("iif", "oif") if getattr(rule, field) == link}
    words = [target if word == link else word for word in rule.selector.split()]
    return rule.model_copy(update=named | {"selector": " ".join(words)}) if named else rule


def changed(before: HostFacts, after: HostFacts) -> set[str]:
    """The links of which anything differs."""
    names = {link.name for link in (*before.links, *after.links)}
    return {name for name in names if listing(before, {name}) != listing(after, {name})}


def listing(facts: HostFacts, names: set[str]) -> str:
    """These links with what is on them, in the words of `ip`. IPv6's link-local addresses and their routes are left
    out: the kernel gives each link its own."""
    found = sorted((one for one in facts.links if one.name in names), key=lambda one: one.name)
    lines = [_link_words(link) for link in found]
    lines += [f"address {address} dev {link.name}" for link in found for address in links.addresses_on(link)]
    routes = [route for name in names for route in links.routes_over(facts, name)]
    lines += [f"route {words}" for *_, words in sorted(_in_order(route) for route in routes)]
    lines += [
        f"rule {rule.priority}: {rule.selector} lookup {rule.table}"
        for rule in facts.rules
        if rule.iif in names or rule.oif in names
    ]
    return "".join(f"{line}\n" for line in lines)


def _link_words(link: Link) -> str:
    words = ["link", link.name]
    words += ["type", link.kind] if link.kind else []
    words += ["master", link.master] if link.master else []
    words += [link.mac] if link.mac else []
    words += ["mtu", str(link.mtu), "up" if link.up else "down"]
    words += ["stp_state", "1", "forward_delay", f"{100 * (link.forward_delay or 0):g}"] if link.stp else []
    words += ["sriov_numvfs", str(link.numvfs or 0)] if link.totalvfs else []
    return " ".join(words)


def _in_order(route: Route) -> tuple[int, bytes, int, str]:
    return route.dst.version, route.dst.network_address.packed, route.dst.prefixlen, _route_words(route)


def _route_words(route: Route) -> str:
    words = ["default" if route.dst.prefixlen == 0 else str(route.dst)]
    words += ["via", str(route.gateway)] if route.gateway else []
    words += ["dev", str(route.dev)]
    words += [] if route.is_main else ["table", str(route.table)]
    words += ["proto", route.proto] if route.proto else []
    words += ["src", str(route.prefsrc)] if route.prefsrc else []
    words += ["metric", str(route.metric)] if route.metric else []
    return " ".join(words)
