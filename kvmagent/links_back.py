"""The ways back of the verbs on the kernel's links. Each looks first: what it takes back may never have come about.

Each says whether there was anything to take back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvmagent import bridge_stp, bridges, links, silent_links
from kvmagent.bridge_mark import Mark
from kvmagent.guard import carry_out
from kvmagent.restore import batch
from kvmagent.steps import VerbFailed
from virtnet.persist.lasting import BEHIND
from virtnet.text import text


def take_away(bridge: str) -> bool:
    if links.kind(bridge) is None:
        return False
    mark = bridges.mark(bridge)
    if mark is None:
        raise VerbFailed(text("%(bridge)s stays: the panel did not make it.", bridge=bridge))
    if others := [port for port in bridges.ports(bridge) if port not in mark.names]:
        users = ", ".join(others)
        raise VerbFailed(text("%(bridge)s stays: %(users)s stands on it.", bridge=bridge, users=users))
    for name in reversed(mark.names):
        free(bridge, mark, name)
    bridges.delete(bridge)
    return True


def free(bridge: str, mark: Mark, name: str) -> bool:
    """The uplink as it was found. It leaves the bridge last: after a kill in between all of this is done again."""
    if links.kind(name) is None or links.master(name) != bridge:
        return False
    found = next(uplink for uplink in mark.uplinks if uplink.name == name)
    if not found.was_up:
        links.set_state(name, up=False)
    if found.had_ipv6:
        bridges.set_ipv6(name, on=True)
    if found.mtu is not None:
        links.set_mtu(name, found.mtu)
    bridges.set_master(name, None)
    return True


def mark_again(bridge: str, mark: Mark | None) -> bool:
    if links.kind(bridge) is None:
        return False
    bridges.set_mark(bridge, mark)
    return True


def join_behind(bridge: str, second: str) -> None:
    """Down until STP knows that the first uplink goes on forwarding, whatever port numbers the two have."""
    links.set_state(second, up=False)
    bridges.set_master(second, bridge)
    bridge_stp.set_priority(second, BEHIND)


def join_again(bridge: str, uplink: str, tuned: Sequence[str] = (), *, is_second: bool = False) -> bool:
    if links.kind(uplink) is None or links.master(uplink) == bridge:
        return False
    if is_second:
        join_behind(bridge, uplink)
    else:
        bridges.set_master(uplink, bridge)
    carry_out(batch(list(tuned)))
    bridges.set_ipv6(uplink, on=False)
    links.set_state(uplink, up=True)
    return True


def make_again(bridge: str, former: bridges.Settings, *, was_up: bool) -> bool:
    if links.kind(bridge) is None:
        bridges.add(bridge, former)
    links.set_state(bridge, up=was_up)
    for number, uplink in enumerate(former.mark.names):
        if number == 1:  # two cables are a loop without STP, and one that comes under STP is mute for a while
            bridge_stp.set_stp(bridge, on=former.stp, forward_delay=former.forward_delay)
        join_again(bridge, uplink, is_second=number == 1)
    carry_out(batch(list(former.tuned)))
    bridge_stp.set_stp(bridge, on=former.stp, forward_delay=former.forward_delay)
    return True


def set_stp_back(bridge: str, *, on: bool, forward_delay: float) -> bool:
    if links.kind(bridge) is None or bridge_stp.read(bridge) == (on, forward_delay):
        return False
    bridge_stp.set_stp(bridge, on=on, forward_delay=forward_delay)
    return True


def set_mtus_back(bridge: str, former: Mapping[str, int]) -> bool:
    """former: of the bridge and of its ports. A guest may have gone meanwhile."""
    found = {name: links.mtu(name) for name in former if links.kind(name) is not None}
    raised = [name for name, now in found.items() if now < former[name] and name != bridge]
    changed = [name for name in dict.fromkeys((*raised, bridge, *found)) if found.get(name) not in {None, former[name]}]
    for name in changed:
        links.set_mtu(name, former[name])
    return bool(changed)


def let_speak(link: str) -> bool:
    if link not in silent_links.silent_links():
        return False
    silent_links.let_speak(link)
    return True


def silence(link: str) -> bool:
    silent_links.silence(link)
    return True


def set_down(link: str) -> bool:
    if links.kind(link) is None or not links.is_up(link):
        return False
    links.set_state(link, up=False)
    return True
