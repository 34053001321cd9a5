"""A second uplink in a bridge, and the spanning tree protocol (STP) that keeps the two from being a loop.

A bridge with STP sends BPDUs and hears them come back by the other cable: then it blocks one of the two ports, and
takes it again when the first fails. A port that joins such a bridge, or that takes over, listens and then learns
before it forwards: the forward delay, twice. IEEE 802.1D; https://docs.kernel.org/networking/bridge.html#stp
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from virtnet import guarding
from virtnet.bridges import Wiring
from virtnet.facts import HostFacts
from virtnet.fields import LinkName
from virtnet.link_facts import Link
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import Text, gettext_noop, text

# What the kernel takes while STP is on (BR_MIN_FORWARD_DELAY, BR_MAX_FORWARD_DELAY), and what it starts with.
SHORTEST, LONGEST, USUAL = 2, 30, 15

SecondUplink = Annotated[
    LinkName | None,
    Field(
        title=gettext_noop("Second uplink"),
        description=gettext_noop(
            "Another cable into the same LAN, for the day when the first fails. It needs STP, and carries nothing of "
            "the host's."
        ),
    ),
]
Stp = Annotated[
    bool,
    Field(
        title=gettext_noop("Spanning tree protocol (STP)"),
        description=gettext_noop(
            "Of two ways into one LAN the bridge blocks one, and takes it when the other fails. A switch with BPDU "
            "guard shuts its port instead: ask who runs it."
        ),
    ),
]
ForwardDelay = Annotated[
    int,
    Field(
        ge=SHORTEST,
        le=LONGEST,
        title=gettext_noop("Forward delay (s)"),
        description=gettext_noop(
            "With STP: so long a port listens, and so long it learns, before it forwards. 15 unless the LAN's own "
            "bridges have another; theirs wins while one of them is the root."
        ),
    ),
]


def problems(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> list[Problem]:
    """What of the second uplink and of STP cannot be on this host."""
    return _loop(wanted) or [*_stays(facts, ref, wanted), *_loop_without(facts, ref, wanted)]


def second_is_not_free(facts: HostFacts, uplink: str | None, link: Link) -> list[Problem]:
    """Of a second uplink nothing moves to the bridge: it is a cable, and all that the host has comes by the first."""
    if (why := guarding.why_risky(facts, (link.name,))) is not None:
        fix = text("Take it as the first uplink, or take off it what the host has there.")
        return [Problem(text=why, fix=fix, field="second_uplink")]
    first = facts.link(uplink or "")
    if first is not None and first.mtu != link.mtu:
        sentence = text(
            "%(link)s has MTU %(mtu)s and %(other)s has %(others)s: the bridge would take the lower.",
            link=link.name,
            mtu=link.mtu,
            other=first.name,
            others=first.mtu,
        )
        return [Problem(text=sentence, fix=text("Give both the same MTU first."), field="second_uplink")]
    return []


def _loop(wanted: Wiring) -> list[Problem]:
    if wanted.second is None:
        return []
    if wanted.uplink is None:
        sentence = text("%(link)s would be the only uplink.", link=wanted.second)
        return [Problem(text=sentence, fix=text("Take it as the first uplink."), field="second_uplink")]
    if wanted.uplink == wanted.second:
        sentence = text("%(link)s is the first uplink already.", link=wanted.second)
        return [Problem(text=sentence, fix=text("Choose another link."), field="second_uplink")]
    if wanted.forward_delay:
        return []
    sentence = text(
        "%(first)s and %(second)s in one LAN are a loop without STP: broadcasts go round until nothing else does.",
        first=wanted.uplink,
        second=wanted.second,
    )
    return [Problem(text=sentence, fix=text("Turn STP on, or leave the second uplink empty."), field="stp")]


def _loop_without(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> list[Problem]:
    """STP is to go, and somebody else has put another cable into the bridge."""
    found = facts.link(wanted.bridge)
    if found is None or found.made_for != ref.uuid or not found.stp or wanted.forward_delay:
        return []
    known = {found.made_with, found.made_with_second}
    # A veth's other end is a container's, no cable.
    others = [
        one.name
        for one in facts.links
        if one.master == wanted.bridge and one.name in facts.uplinks and one.kind != "veth" and one.name not in known
    ]
    if not others:
        return []
    sentence = text(
        "%(bridge)s has the port %(port)s too: without STP it may be a loop.", bridge=wanted.bridge, port=others[0]
    )
    return [Problem(text=sentence, fix=text("Leave STP on, or take %(port)s out.", port=others[0]), field="stp")]


def _stays(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> list[Problem]:
    """A bridge of others, or of another network, keeps its second uplink and its STP."""
    found = facts.link(wanted.bridge)
    if found is None or found.made_for == ref.uuid:
        return []
    if (said := _difference(_as_found(facts, found, wanted), wanted)) is None:
        return []
    sentence, field = said
    own = next((network.name for network in facts.networks if network.uuid == found.made_for), None)
    if own is not None:
        fix = text("Edit the network %(network)s, for which it was made.", network=own)
    else:
        fix = text("Choose a name for a bridge that is not there yet.")
    return [Problem(text=sentence, fix=fix, field=field)]


def _as_found(facts: HostFacts, bridge: Link, wanted: Wiring) -> Wiring:
    """A bridge of others. Where nothing is wanted of it, all is right as it is."""
    second = wanted.second if wanted.second in {None, *facts.bridges.get(bridge.name, ())} else None
    delay = wanted.forward_delay
    if delay and bridge.stp is not None:
        delay = round(bridge.forward_delay or delay) if bridge.stp else 0
    return Wiring(bridge.name, wanted.uplink, second, delay)


def _difference(now: Wiring, wanted: Wiring) -> tuple[Text, str] | None:
    """In a sentence, and the field that it belongs to."""
    if now.second != wanted.second:
        sentence = text("%(bridge)s is there already, and its ports stay as they are.", bridge=now.bridge)
        return sentence, "second_uplink"
    if now.forward_delay == wanted.forward_delay:
        return None
    if not now.forward_delay:
        return text("%(bridge)s is there already, without STP, and stays so.", bridge=now.bridge), "stp"
    if not wanted.forward_delay:
        return text("%(bridge)s is there already, with STP, and keeps it.", bridge=now.bridge), "stp"
    sentence = text(
        "%(bridge)s is there already, with a forward delay of %(delay)s s, and keeps it.",
        bridge=now.bridge,
        delay=now.forward_delay,
    )
    return sentence, "forward_delay"
