"""The verbs on the kernel's links."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from pyroute2.netlink.exceptions import NetlinkError

from kvmagent import (
    announcement,
    bridge_move,
    bridge_settings,
    bridge_stp,
    bridges,
    carried,
    links,
    links_back,
    silent_links,
    snapshot,
)
from kvmagent.bridge_mark import Mark
from kvmagent.guard_verbs import GuardVerbs
from kvmagent.links import NoSuchLink
from kvmagent.persist import bridge as lasting
from kvmagent.restore import batch
from kvmagent.snapshot import Snapshot
from kvmagent.steps import Steps, VerbFailed, explained
from virtnet import bridge_mtu, direct, moves, verbs
from virtnet.bridges import Wiring, why_it_stays
from virtnet.facts import HostFacts
from virtnet.moves import Carried
from virtnet.refs import NetworkRef
from virtnet.text import text
from virtnet.verbs import Verb

SETTLING = 3.0  # seconds: until a link has its carrier again and the kernel has given it its link-local address


class LinkVerbs:
    """read_facts: this host's, fresh. Where a bridge has a mark the panel made it; all others are never changed.

    Once the guard is armed, the way back of all links is its own, as a whole.
    """

    def __init__(self, steps: Steps, read_facts: Callable[[], HostFacts], guard: GuardVerbs) -> None:
        self._steps = steps
        self._read_facts = read_facts
        self._guard = guard
        self._before: Snapshot | None = None
        self._touched: set[str] = set()
        self._compares = True
        self.gone: set[str] = set()  # the bridges that were taken away

    def add_bridge(self, bridge: str, network: NetworkRef, uplink: str | None, second: str | None = None) -> None:
        verb = verbs.add_bridge(bridge, uplink)
        with self._steps.doing(verb):
            kind = links.kind(bridge)
            if kind == "bridge":
                if self._guard.armed is None and self._was_interrupted(bridge, network):
                    self._compares = False
                    self._push(verbs.delete_bridge(bridge), lambda: links_back.take_away(bridge))
                self._steps.already_so(verb)
                return
            if kind is not None:
                raise VerbFailed(
                    text("%(bridge)s is a link, but no bridge. Choose another name for the bridge.", bridge=bridge)
                )
            wanted = bridges.settings_for(network, *(one for one in (uplink, second) if one is not None))
            self._touch(bridge, uplink, second)
            self._push(verbs.delete_bridge(bridge), lambda: links_back.take_away(bridge))
            bridges.add(bridge, wanted)
            self._steps.done(verb)

    def delete_bridge(self, bridge: str, network: NetworkRef) -> None:
        verb = verbs.delete_bridge(bridge)
        with self._steps.doing(verb):
            if links.kind(bridge) is None:
                self._steps.already_so(verb)
                return
            facts = self._read_facts()
            if facts.libvirt_error is not None:
                raise VerbFailed(facts.libvirt_error)
            mark, why = bridges.mark(bridge), why_it_stays(facts, bridge, network)
            if mark is None or why is not None:
                self._steps.already_so(verb, why)
                return
            if mark.uplink is not None and (what := carried.read(bridge)):
                self.gone.add(bridge)
                self._move_out(what, mark)
                return
            former, was_up = bridges.settings(bridge, mark), links.is_up(bridge)
            self.gone.add(bridge)
            self._touch(bridge, *mark.names)
            back = verbs.add_bridge(bridge, mark.uplink)
            self._push(back, lambda: links_back.make_again(bridge, former, was_up=was_up))
            with lasting.left_alone(bridge):
                links_back.take_away(bridge)
            freed = text("%(link)s is free again, as it was before.", link=mark.uplink) if mark.uplink else None
            self._steps.done(verb, freed)

    def set_master(self, link: str, bridge: str) -> None:
        verb = verbs.set_master(link, bridge)
        with self._steps.doing(verb):
            mark = bridges.mark(bridge)
            ours = mark is not None and link in mark.names
            if links.master(link) == bridge and not (ours and bridges.has_ipv6(link)):
                self._steps.already_so(verb)
                return
            if mark is None or not ours:
                raise VerbFailed(
                    text("%(bridge)s is there already, and its ports stay as they are.", bridge=bridge),
                )
            if links.master(link) is None and (what := carried.read(link)):
                if link != mark.uplink:
                    raise VerbFailed(text("%(link)s carries something of the host's by now.", link=link))
                self._move_in(what, bridge, alone=mark.second is None)
                return
            self._touch(bridge, link)
            back = Verb(text=text("Free %(link)s again.", link=link), command=f"ip link set {link} nomaster")
            self._push(back, lambda: links_back.free(bridge, mark, link))
            if mark.second is not None and link == mark.second.name:
                verb = verbs.set_master(link, bridge, is_second=True)
                # Before it may be dropped what is sent to it, and once more when it answers nobody any more.
                announcement.announce(bridge)
                links_back.join_behind(bridge, link)
                announcement.announce(bridge)
            else:
                bridges.set_master(link, bridge)
            # Else it and the bridge, which has the same MAC, would carry the same link-local address.
            bridges.set_ipv6(link, on=False)
            self._steps.done(verb)

    def replace_second(self, bridge: str, network: NetworkRef, second: str | None) -> None:
        """Tells nothing but that a former one leaves. The new one joins by `set_master`: the mark says it may."""
        verb = verbs.mark_bridge(bridge)
        with self._steps.doing(verb):
            mark = bridges.mark(bridge)
            former = mark.second if mark is not None else None
            if mark is None or mark.network != network.uuid or second == (former.name if former else None):
                return
            self._touch(bridge, second, former.name if former else None)
            own = mark if bridges.is_marked(bridge) else None
            self._push(verb, lambda: links_back.mark_again(bridge, own))
            if former is not None:
                self._release(bridge, mark, former.name)
            bridges.set_mark(bridge, mark.with_second(bridges.found(second) if second is not None else None))

    def set_stp(self, bridge: str, network: NetworkRef, forward_delay: int) -> None:
        """forward_delay: 0 tells nothing of a bridge that has no STP, or was not made for this network."""
        verb = verbs.set_stp(bridge, forward_delay)
        with self._steps.doing(verb):
            mark, (on, delay) = bridges.mark(bridge), bridge_stp.read(bridge)
            if not forward_delay and not (on and mark is not None and mark.network == network.uuid):
                return
            if (on, delay) == (True, forward_delay):
                self._steps.already_so(verb)
                return
            if mark is None:
                raise VerbFailed(text("%(bridge)s is there already, without STP, and stays so.", bridge=bridge))
            self._touch(bridge)
            back = verbs.set_stp(bridge, round(delay) if on else 0)
            self._push(back, lambda: links_back.set_stp_back(bridge, on=on, forward_delay=delay))
            bridge_stp.set_stp(bridge, on=forward_delay > 0, forward_delay=forward_delay)
            self._steps.done(verb)

    def set_mtu(self, network: NetworkRef, wanted: Wiring) -> None:
        """Tells nothing where none is wanted, and of a bridge that was not made for this network."""
        bridge, mtu = wanted.bridge, wanted.mtu
        if mtu is None:
            return
        verb = verbs.set_mtu(mtu, [bridge])
        with self._steps.doing(verb):
            mark = bridges.mark(bridge)
            if mark is None or mark.network != network.uuid:
                return
            taps = {name: links.mtu(name) for name in bridges.taps(bridge)}
            ports = {name: links.mtu(name) for name in mark.names} | taps
            former = ports | {bridge: links.mtu(bridge)}
            names = bridge_mtu.in_order(bridge, ports, mtu)
            verb = verbs.set_mtu(mtu, names)
            if set(former.values()) == {mtu}:
                self._steps.already_so(verb)
                return
            self._touch(bridge, *mark.names)
            own = mark if bridges.is_marked(bridge) else None
            self._push(verbs.mark_bridge(bridge), lambda: links_back.mark_again(bridge, own))
            for step in batch(moves.own_mtus(taps)):  # the guard's plan knows the bridge and its uplinks alone
                self._guard.also(step)
            self._push(verb, lambda: links_back.set_mtus_back(bridge, former))
            bridges.set_mark(bridge, mark.with_mtus(ports))
            for name in names:
                with suppress(*[NoSuchLink] if name in taps else []):  # its guest has just stopped
                    links.set_mtu(name, mtu)
            self._steps.done(verb)

    def set_up(self, link: str) -> None:
        verb = verbs.set_up(link)
        with self._steps.doing(verb):
            if links.is_up(link):
                self._steps.already_so(verb)
                return
            self._touch(link)
            back = Verb(text=text("Set %(link)s down.", link=link), command=f"ip link set {link} down")
            self._push(back, lambda: links_back.set_down(link))
            links.set_state(link, up=True)
            self._steps.done(verb)

    def leave_to_guest(self, link: str) -> None:
        verb = verbs.leave_to_guest(link)
        with self._steps.doing(verb):
            if links.kind(link) is None:
                raise NoSuchLink(link)
            if silent_links.is_silent(link):
                self._steps.already_so(verb)
                return
            self._touch(link)
            self._steps.push(verbs.take_back(link), lambda: links_back.let_speak(link))
            silent_links.silence(link)
            self._steps.done(verb)

    def take_back_links(self) -> None:
        """Tells nothing where no link of ours is free."""
        if not (silent := list(silent_links.silent_links())):
            return
        facts = self._read_facts()
        if facts.libvirt_error is not None:  # nobody knows who owns them: the next change looks again
            return
        owned = direct.owned(facts)
        for link in (one for one in silent if one not in owned):
            verb = verbs.take_back(link)
            with self._steps.doing(verb):
                self._touch(link)
                self._steps.push(verbs.leave_to_guest(link), partial(links_back.silence, link))
                silent_links.let_speak(link)
                self._steps.done(verb)

    def compare_with_before(self) -> bool:
        """After an undo: True when each link that was touched is as it was. What differs is told.

        What was before an interrupted try only the guard's plan knows; without one the bridge's mark says what to put
        back.
        """
        before, touched = self._before, set(self._touched)
        if self._guard.armed is not None:
            # "": rules and routes of several links, which belong to none.
            before, touched = self._guard.before or None, touched | {*self._guard.armed.links, ""}
        if before is None or not self._compares:
            return True
        names = ", ".join(sorted(filter(None, touched)))
        verb = Verb(text=text("Compare %(links)s with before.", links=names), command="ip -d address; ip route")
        try:
            differences = snapshot.differences_that_stay(before, of=touched, seconds=SETTLING)
        except (NetlinkError, OSError) as error:
            differences = [explained(verb, error)]
        for difference in differences:
            self._steps.not_undone(verb, difference)
        return not differences

    def _move_in(self, what: Carried, bridge: str, *, alone: bool) -> None:
        verb = verbs.move_into_bridge(what.link, bridge, moves.into_bridge(what, bridge))
        with self._steps.doing(verb):
            self._guard.run(bridge_move.into_bridge(what, bridge, self._guard.before, alone=alone))
            if why_not := bridge_move.why_not_moved(what, bridge):
                raise VerbFailed(why_not)
            self._steps.done(verb)

    def _move_out(self, what: Carried, mark: Mark) -> None:
        uplink, second = mark.uplinks[0].name, mark.second
        name = second.name if second is not None else None
        lines = moves.out_of_bridge(what, uplink, second=name, mtus=mark.mtus, mtu=links.mtu(what.link))
        verb = verbs.move_out_of_bridge(what.link, uplink, lines)
        with self._steps.doing(verb):
            with lasting.left_alone(what.link):
                self._guard.run(bridge_move.out_of_bridge(what, mark, self._guard.before))
            if why_not := bridge_move.why_not_moved(what, uplink):
                raise VerbFailed(why_not)
            self._steps.done(verb)

    def _release(self, bridge: str, mark: Mark, name: str) -> None:
        """The second uplink, as it was found."""
        was_up = next(found.was_up for found in mark.uplinks if found.name == name)
        verb = verbs.free(name, bridge, mark.uplink, was_up=was_up)
        with self._steps.doing(verb):
            tuned = [*bridge_settings.lines(bridge_settings.shown(name)), *moves.own_mtus({name: links.mtu(name)})]
            self._push(
                verbs.set_master(name, bridge), lambda: links_back.join_again(bridge, name, tuned, is_second=True)
            )
            lasting.let_go(bridge, name)
            if links_back.free(bridge, mark, name):
                if mark.uplink is not None and links.master(mark.uplink) == bridge:
                    bridge_stp.claim(mark.uplink)
                self._steps.done(verb)

    def _push(self, back: Verb, run: Callable[[], bool]) -> None:
        if self._guard.armed is None:
            self._steps.push(back, run)

    def _touch(self, *names: str | None) -> None:
        """Before the first change: what all must be like again after an undo."""
        if self._before is None:
            self._before = snapshot.take()
        self._touched.update(name for name in names if name is not None)

    def _was_interrupted(self, bridge: str, network: NetworkRef) -> bool:
        """Whether an earlier try made the bridge for this network and did not come to define the network."""
        mark = bridges.mark(bridge)
        if mark is None or mark.network != network.uuid:
            return False
        facts = self._read_facts()
        return facts.libvirt_error is None and all(one.uuid != network.uuid for one in facts.networks)
