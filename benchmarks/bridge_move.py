"""The host's own uplink into a bridge: our netlink work against a bare pyroute2 script, and how long nobody answered.

Both make the same steps on the same pair of network namespaces, interleaved: the bridge, its addresses, the uplink
its port, the routes, the addresses off the uplink. Ours is what the guard is told and runs (`ip -batch`), from the word
to its answer; the bare script's time has neither a guard nor a way back. The longest time between two answers to 5 ms
probes is that of the whole change, with its guard and its confirmation.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.agent.cabled_host import CabledHost

PAIRS = 20
PROBED = 20
BOUND = 2.0  # our netlink time to the bare script's


@dataclass(frozen=True)
class Measured:
    """Milliseconds: of each pair (ours, bare); gaps: the longest silence in each probed change; lost of sent probes."""

    pairs: list[tuple[float, float]]
    gaps: list[float]
    lost: int
    sent: int


def measure(pairs: int = PAIRS, probed: int = PROBED) -> Measured:
    """Root. Nothing of the machine's own network is touched."""
    with tempfile.TemporaryDirectory() as directory, CabledHost(Path(directory), seconds=30) as host:
        timed = host.run([sys.executable, "-m", "benchmarks.bridge_netlink", str(pairs)])
        found = [tuple(float(one) for one in line.split()) for line in timed.splitlines()]
        gaps, lost, sent = [], 0, 0
        for _ in range(probed):
            with host.probe() as probes:
                host.change("loop")
            gaps.append(max(one["longest_ms"] for one in probes.told if "longest_ms" in one))
            lost, sent = lost + probes.lost, sent + probes.sent
    return Measured([(ours, bare) for ours, bare in found], gaps, lost, sent)


def report(measured: Measured) -> str:
    ratios = sorted(ours / bare for ours, bare in measured.pairs)
    return "\n".join(
        [
            f"host's uplink into a bridge, {len(measured.pairs)} interleaved pairs, netlink time, medians: ours "
            f"{statistics.median(ours for ours, _ in measured.pairs):.1f} ms, bare pyroute2 "
            f"{statistics.median(bare for _, bare in measured.pairs):.1f} ms",
            f"  ours / bare: median {statistics.median(ratios):.2f}, lowest {ratios[0]:.2f}, highest {ratios[-1]:.2f} "
            f"(at most {BOUND:.0f})",
            f"  longest time without an answer, 5 ms probes, into the bridge and back, {len(measured.gaps)} rounds: "
            f"{_distribution(measured.gaps)}; {measured.lost} of {measured.sent} probes lost",
        ]
    )


def _distribution(values: Iterable[float]) -> str:
    ordered = sorted(values)
    at = {"lowest": 0.0, "median": 0.5, "90 %": 0.9, "highest": 1.0}
    return ", ".join(f"{name} {ordered[round(part * (len(ordered) - 1))]:.1f} ms" for name, part in at.items())


if __name__ == "__main__":
    sys.stdout.write(report(measure()) + "\n")
