"""One change of a host's bridge by the real verbs, the guard included; only libvirt's part is left out.

    python -m tests.agent.change make|change|remove|vfs|loop|facts [--verdict keep|undo|never] [--kill N] [--fault NAME]
                                 [--stall N] [--owner NAME]

"change": of a network whose bridge is to be another, or was lost with the host's last start. "vfs": 4 VFs where eth0
has 2, on a card that is not there (see sriov_card.py), whose files lie in the agent's state directory. "loop" makes and
removes the bridge --runs times. --kill N: SIGKILL at the N-th point; there is one before and one after each verb.
--stall N: there it waits until the guard is gone. --fault: what goes wrong, see FAULTS. --two: with a second uplink,
eth1, and STP. --stp N: with STP and this forward delay. --uplink: another first one, "" for none. --mtu N.
Prints each step, and the outcome as the agent would report it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, Literal
from uuid import UUID

import pytest

from kvmagent import arming, bridge_move, links, settings, vf_keepers
from kvmagent.arming import Armed
from kvmagent.guard import Step as GuardStep
from kvmagent.guard_verbs import GuardVerbs
from kvmagent.link_verbs import LinkVerbs
from kvmagent.steps import Steps, VerbFailed
from kvmagent.vf_verbs import VfVerbs
from kvmagent.way_to_panel import link_to
from tests.agent.sriov_card import FakeCard
from virtnet import guarding
from virtnet.bridges import Wiring
from virtnet.facts import HostFacts
from virtnet.messages import Step
from virtnet.modes.bridge import Bridge
from virtnet.refs import NetworkRef
from virtnet.vf_actions import SetNumvfs

LAN = NetworkRef(uuid=UUID("00000000-0000-4000-8000-00000000000a"), name="lan")
SPEC = Bridge(name="lan", bridge="br0", uplink="eth0")
KINDS = ("make", "change", "remove", "vfs")


def spec(uplink: str, *, two: bool = False, stp: int = 0, mtu: int = 0) -> Bridge:
    """uplink: "" for a bridge without one. two: with eth1 as the second, and STP. stp: a forward delay, 0 for none.
    mtu: 0 for none."""
    delay = stp or (2 if two else 0)
    about = {"stp": True, "forward_delay": delay, "mtu": mtu or None} if delay else {"mtu": mtu or None}
    return SPEC.model_copy(update={"uplink": uplink or None, "second_uplink": "eth1" if two else None, **about})


# What a broken change does in the place of a line of the right one: (beginning of the line, what comes instead).
FAULTS = {
    "wrong-port": ("link set dev eth0 master br0", "link set dev spare0 master br0"),
    "no-port": ("link set dev eth0 master br0", ""),
    "wrong-address": ("address replace 10.9.0.2/24", "address replace 10.99.0.2/24 dev br0"),
    "no-routes": ("route append", ""),
}


class Says:
    """A Confirmation that has made up its mind; "never" waits until the window is over, "late" until it is so or
    somebody else has decided, and knows nothing of that."""

    def __init__(self, verdict: str, owner: str) -> None:
        self.owner = owner
        self._verdict = verdict

    def verdict(self, armed: Armed) -> Literal["keep", "undo"] | None:
        if self._verdict == "keep":
            return "keep"
        if self._verdict == "undo":
            return "undo"
        if self._verdict == "late":
            stalled()
            return None
        time.sleep(armed.left)
        return None


class Host:
    """The verbs of virtnet.host, as LinuxHost does them, without libvirt's and without the host's own files."""

    def __init__(self, told: list[Step], says: Says) -> None:
        self.steps = Steps(told.append)
        self.guard = GuardVerbs(self.steps, facts, says)
        self.links = LinkVerbs(self.steps, facts, self.guard)
        self.vfs = VfVerbs(self.steps, self.guard.also)

    def __getattr__(self, name: str) -> Any:
        if name == "arm_guard":
            return lambda names, asks, new=(), network=None, mute=0: self.guard.arm(
                names, asks, new, network, mute=mute
            )
        if name == "arm_guard_for_vfs":
            return lambda pf, numvfs: self.guard.arm((pf,), "panel", (), None)
        if name == "arm_guard_for_bridge":
            return self._arm_for_bridge
        if name == "await_confirmation":
            return self.guard.await_confirmation
        for verbs in (self.links, self.vfs):
            if hasattr(verbs, name):
                return getattr(verbs, name)
        return lambda *_: None

    def _arm_for_bridge(self, network: NetworkRef, wanted: Wiring) -> None:
        links, mute = guarding.wired(facts(), network, wanted), guarding.mute_seconds(facts(), wanted)
        self.guard.arm(links, "person", (wanted.bridge,), None, mute=mute)

    def undo(self) -> bool:
        undone = self.steps.undo()
        return self.links.compare_with_before() and undone


class Interrupted:
    """A host to whose process something happens at one point."""

    def __init__(self, host: Host, at: int, happens: Callable[[], None]) -> None:
        self._host, self._at, self._happens, self._point = host, at, happens, 0

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._host, name)

        def done(*arguments: Any, **named: Any) -> None:
            self._reach()
            verb(*arguments, **named)
            self._reach()

        return done

    def _reach(self) -> None:
        self._point += 1
        if self._point == self._at:
            self._happens()


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stalled() -> None:
    while arming.find()[1] == "armed":
        time.sleep(0.05)


def facts() -> HostFacts:
    found = links.read_links()
    return HostFacts(
        links=found, routes=links.read_routes(found), rules=links.read_rules(), way_to_panel=link_to("10.9.0.1")
    )


def break_it(fault: str) -> None:
    """Lets each change from now on go wrong in one way, and the look afterwards see nothing of it."""
    beginning, instead = FAULTS[fault]
    rightly = arming.run

    def wrongly(steps: list[GuardStep]) -> list[str]:
        for step in steps:
            if step["do"] == "ip":
                step["lines"] = [instead if line.startswith(beginning) else line for line in step["lines"]]
        return rightly(steps)

    setattr(arming, "run", wrongly)  # noqa: B010
    setattr(bridge_move, "why_not_moved", lambda what, target: None)  # noqa: B010


def ask(what: str, host: Any, wanted: Bridge = SPEC) -> None:
    """All verbs of one kind of change, on whatever takes them."""
    if what == "make":
        wanted.apply(host, LAN)
    elif what == "change":
        wanted.update(host, LAN)
    elif what == "remove":
        wanted.remove(host, LAN)
    else:
        SetNumvfs(pf="eth0", numvfs=4).apply(host)


def plug_in_card() -> None:
    """eth0 has 2 VFs from now on, in this process; its numbers are files, so the guard writes them too."""
    root = settings.state() / "card"
    setattr(vf_keepers, "RUN", root / "run")  # noqa: B010
    card = FakeCard(root, pf="eth0", index=socket.if_nametoindex("eth0")).plug_in(pytest.MonkeyPatch())
    card.make(2)


def change(
    what: str, says: Says, wanted: Bridge = SPEC, *, at: int = 0, happens: Callable[[], None] = killed
) -> tuple[str, list[Step]]:
    """("applied" | "undone" | "failed", the steps)."""
    told: list[Step] = []
    host = Host(told, says)
    try:
        ask(what, Interrupted(host, at, happens) if at else host, wanted)
    except VerbFailed:
        return ("undone" if host.undo() else "failed"), told
    return "applied", told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=[*KINDS, "loop", "facts"])
    parser.add_argument("--verdict", default="keep")
    parser.add_argument("--owner", default="")
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--stall", type=int, default=0)
    parser.add_argument("--fault", default="")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--two", action="store_true")
    parser.add_argument("--stp", type=int, default=0)
    parser.add_argument("--uplink", default="eth0")
    parser.add_argument("--mtu", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.what == "vfs":
        plug_in_card()
    if arguments.what == "facts":
        print(facts().model_dump_json())
        return
    if arguments.fault:
        break_it(arguments.fault)
    wanted = spec(arguments.uplink, two=arguments.two, stp=arguments.stp, mtu=arguments.mtu)
    for number in range(arguments.runs):
        for what in ("make", "remove") if arguments.what == "loop" else (arguments.what,):
            owner = arguments.owner or f"{os.getpid()}-{number}-{what}"
            begun = time.perf_counter()
            happens = stalled if arguments.stall else killed
            at = arguments.stall or arguments.kill
            outcome, told = change(what, Says(arguments.verdict, owner), wanted, at=at, happens=happens)
            for step in told:
                print(f"{step.outcome:>12}  {step.text} {step.detail or ''}")
            print(
                json.dumps({"what": what, "outcome": outcome, "ms": round(1000 * (time.perf_counter() - begun), 1)}),
                flush=True,
            )
            if arguments.what == "loop":
                time.sleep(0.3)


if __name__ == "__main__":
    main()
