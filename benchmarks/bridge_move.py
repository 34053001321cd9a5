"""The host's own uplink into a bridge: our netlink work against a bare pyroute2 script.

Both make the same steps on the same pair of network namespaces, interleaved: the bridge, its addresses, the uplink
its port, the routes, the addresses off the uplink. Ours is what the guard is told and runs (`ip -batch`), from the word
to its answer; the bare script's time has neither a guard nor a way back. The detour, by which no packet is lost
meanwhile, is told beside it. What the change costs its neighbours is measured in ways_into_a_bridge.py.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.agent.cabled_host import CabledHost

PAIRS = 20
BOUND = 2.0  # our netlink time to the bare script's


def measure(pairs: int = PAIRS) -> list[tuple[float, float, float]]:
    """Milliseconds of each round (ours, bare, ours with its detour). Root. The machine's own network is not touched."""
    with tempfile.TemporaryDirectory() as directory, CabledHost(Path(directory), seconds=30) as host:
        timed = host.run([sys.executable, "-m", "benchmarks.bridge_netlink", str(pairs)])
    return [
        (float(ours), float(bare), float(detour))
        for ours, bare, detour in (line.split() for line in timed.splitlines())
    ]


def report(pairs: list[tuple[float, float, float]]) -> str:
    ratios = sorted(ours / bare for ours, bare, _ in pairs)
    return "\n".join(
        [
            f"host's uplink into a bridge, {len(pairs)} interleaved pairs, netlink time, medians: ours "
            f"{statistics.median(ours for ours, _, _ in pairs):.1f} ms, bare pyroute2 "
            f"{statistics.median(bare for _, bare, _ in pairs):.1f} ms",
            f"  ours / bare: median {statistics.median(ratios):.2f}, lowest {ratios[0]:.2f}, highest {ratios[-1]:.2f} "
            f"(at most {BOUND:.0f})",
            f"  with the detour: {statistics.median(detour for _, _, detour in pairs):.1f} ms",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(report(measure()) + "\n")
