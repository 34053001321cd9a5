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
    memory = agent.memory_full_info()
    percent = 100 * used / seconds
    return (
        f"agent at rest for {seconds:.0f} s: {memory.rss / 1e6:.0f} MB resident (aim 80), {memory.pss / 1e6:.0f} MB "
        f"where shared libraries are shared out (PSS), {memory.uss / 1e6:.0f} MB its own (USS); "
        f"{percent:.2f} % CPU (aim 0.3)"
    )
