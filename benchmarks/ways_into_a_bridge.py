"""The host's only uplink into a bridge, several ways side by side: how long nobody got an answer, and what was lost.

Ours is the whole change, with its guard and its confirmation, and its removal. Beside it are the three commands that
every introduction shows, and the order of most how-tos (the uplink becomes a port, then its addresses are put on the
bridge), as it is and with STP. Each time on a new host with a LAN of its own, interleaved; probes each 5 ms and a TCP
session, over IPv4 and IPv6, all from a neighbour in the LAN.

    python -m benchmarks.ways_into_a_bridge [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.distribution import at
from tests.agent.cabled_host import CabledHost, Probes

ROUNDS = 5
WIDTHS = (23, 11, 11, 10, 17, 11, 12)

# As they are typed: the address stays on the port.
THREE_COMMANDS = """
ip link add name br0 type bridge
ip link set br0 up
ip link set eth0 master br0
"""
HOW_TO = """
ip link set br0 up
ip link set eth0 master br0
ip address flush dev eth0
ip address add 10.9.0.2/24 dev br0
ip -6 address add 2001:db8::2/64 dev br0
ip route add default via 10.9.0.1
ip -6 route add default via 2001:db8::1
"""


@dataclass(frozen=True)
class Way:
    """times: in each round. watched: seconds after its end, so that what comes later is seen too."""

    name: str
    go: Callable[[CabledHost], object]
    times: int
    watched: float
    before: Callable[[CabledHost], object] = lambda host: None


@dataclass(frozen=True)
class Once:
    """silent: the longest time without an answer in ms, over IPv4 or IPv6. kept: of two TCP sessions. answered: at the
    end of the watch, over both."""

    silent: float
    lost: int
    sent: int
    kept: int
    answered: bool


def _typed(commands: str) -> Callable[[CabledHost], object]:
    return lambda host: host.run(["sh", "-ec", commands])


def _ours(what: str) -> Callable[[CabledHost], None]:
    def go(host: CabledHost) -> None:
        told = host.change(what)
        if [one["outcome"] for one in told] != ["applied"]:
            raise RuntimeError(f"{what}: {told}")

    return go


WAYS = (
    Way("kvmpanel, into the bridge", _ours("make"), times=4, watched=2),
    Way("kvmpanel, out of it again", _ours("remove"), times=4, watched=2, before=_ours("make")),
    Way("the three commands", _typed(THREE_COMMANDS), times=1, watched=20),
    Way("how-to order", _typed(f"ip link add name br0 type bridge{HOW_TO}"), times=1, watched=10),
    Way("how-to order, STP on", _typed(f"ip link add name br0 type bridge stp_state 1{HOW_TO}"), times=1, watched=40),
)


def measure(rounds: int = ROUNDS) -> dict[str, list[Once]]:
    """Root; some 100 s a round. Nothing of the machine's own network is touched."""
    found: dict[str, list[Once]] = {way.name: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way.name] += [_once(way) for _ in range(way.times)]
    return found


def report(found: dict[str, list[Once]]) -> str:
    ours = at(0.5, (one.silent for one in found[WAYS[0].name]))
    first = ["", "runs", "ms without an answer:", "", "", "x ours", "probes lost", "TCP kept", "answers"]
    second = ["", "", "median", "95 %", "max", "(median)", "of sent", "", "at the end"]
    rows = [_row(name, runs, ours) for name, runs in found.items()]
    about = (
        "the host's only uplink into a bridge, 5 ms probes and a TCP session over IPv4 and IPv6, a new host each time"
    )
    return "\n".join([f"{about}:", *(_line(cells) for cells in (first, second, *rows))])


def _row(name: str, runs: list[Once], ours: float) -> list[str]:
    silent = [one.silent for one in runs]
    return [
        name,
        f"{len(runs)}",
        *(f"{at(part, silent):,.1f}" for part in (0.5, 0.95, 1.0)),
        f"{at(0.5, silent) / ours:,.1f}",
        f"{sum(one.lost for one in runs)} of {sum(one.sent for one in runs)}",
        f"{sum(one.kept for one in runs)} of {2 * len(runs)}",
        f"{sum(one.answered for one in runs)} of {len(runs)}",
    ]


def _line(cells: list[str]) -> str:
    name, runs, *rest = cells
    return f"{name:26}{runs:>5}" + "".join(f"{cell:>{width}}" for cell, width in zip(rest, WIDTHS, strict=True))


def _once(way: Way) -> Once:
    with tempfile.TemporaryDirectory() as directory, CabledHost(Path(directory), seconds=30) as host:
        way.before(host)
        with host.probe() as probes:
            way.go(host)
            time.sleep(way.watched)  # what is measured is the passing of time
    return _seen(probes)


def _seen(probes: Probes) -> Once:
    probed: list[dict[str, Any]] = [one for one in probes.told if "sent" in one]
    return Once(
        silent=max(one["longest_ms"] for one in probed),
        lost=probes.lost,
        sent=probes.sent,
        kept=sum(one["held"] for one in probes.told if "held" in one),
        answered=all(one["silent_ms"] < 1000 for one in probed),
    )


if __name__ == "__main__":
    sys.stdout.write(report(measure(*(int(one) for one in sys.argv[1:]))) + "\n")
