"""Which changes may cut a host off: by this the agent decides whether to arm its guard, and the preview shows it."""

from __future__ import annotations

from collections.abc import Iterable

from virtnet import bridges, links
from virtnet.bridges import Wiring
from virtnet.facts import HostFacts
from virtnet.refs import NetworkRef
from virtnet.text import Text, text

LEAST_WITH_STP = 45.0  # seconds


def why_risky(facts: HostFacts, names: Iterable[str], network: NetworkRef | None = None) -> Text | None:
    """What these links carry that the host would miss; None when they carry nothing.

    network: these are bridges that go with it; one that stays for others is not touched, so nothing is at risk.
    """
    if network is not None:
        names = [name for name in names if bridges.why_it_stays(facts, name, network) is None]
    for name in names:
        link = facts.link(name)
        if link is None:
            continue
        if facts.way_to_panel == name:
            return text("%(link)s carries the way to the panel.", link=name)
        if addresses := links.addresses_on(link):
            return text("%(link)s holds this host's address %(address)s.", link=name, address=", ".join(addresses))
        if links.default_route_on(facts, name):
            return text("%(link)s carries this host's default route.", link=name)
        if links.routes_over(facts, name):
            return text("%(link)s carries routes of this host.", link=name)
        if any(name in {rule.iif, rule.oif} for rule in facts.rules):
            return text("Policy rules of this host name %(link)s.", link=name)
    return None


def window(usual: float, mute: float) -> float:
    """Seconds that a guarded change waits for its confirmation. mute: how long a bridge may not forward meanwhile;
    whoever judges the change has the usual time after that, and never less than STP may need to see its loop."""
    return max(usual + mute, LEAST_WITH_STP) if mute else usual


def wired(facts: HostFacts, network: NetworkRef, wanted: Wiring) -> tuple[str, ...]:
    """The links that carry something else once a bridge is made so, or changed to be so."""
    uplinks = tuple(uplink for uplink in (wanted.uplink, wanted.second) if uplink is not None)
    return (*uplinks, wanted.bridge) if bridges.is_changed(facts, network, wanted) else uplinks


def mute_seconds(facts: HostFacts, wanted: Wiring) -> int:
    """How long a port may be mute meanwhile: with STP it listens first, then it learns, whether STP comes or goes."""
    found = facts.link(wanted.bridge)
    former = (found.forward_delay or 0) if found is not None and found.stp else 0
    return 2 * round(max(former, wanted.forward_delay))


def touched(facts: HostFacts, names: Iterable[str]) -> tuple[str, ...]:
    """These links and the uplinks that the panel's bridges among them were made with."""
    found = [facts.link(name) for name in names]
    uplinks = [uplink for link in found if link is not None for uplink in (link.made_with, link.made_with_second)]
    return tuple(dict.fromkeys([*names, *(uplink for uplink in uplinks if uplink is not None)]))
