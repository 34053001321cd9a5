"""What an agent costs its host while nothing happens: resident memory and CPU."""

from __future__ import annotations

import time

import psutil

SECONDS = 60.0


def report(pid: int, seconds: float = SECONDS) -> str:
    """Watches the process for `seconds`; the aims are 80 MB and 0.3 %."""
    agent = psutil.Process(pid)
    before = agent.cpu_times()
    time.sleep(seconds)  # what is measured is the passing of time
    after = agent.cpu_times()
    used = (after.user + after.system) - (before.user + before.system)
    resident = agent.memory_info().rss / 1e6
    percent = 100 * used / seconds
    return f"agent at rest for {seconds:.0f} s: {resident:.0f} MB resident (aim 80), {percent:.2f} % CPU (aim 0.3)"
