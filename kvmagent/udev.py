"""udev's work on a host's links: it loads their drivers, names them, and marks those that others keep off."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from kvmagent import sriov

RUN = Path("/run/udev")


def is_there() -> bool:
    """Whether it runs here. Else links have their names at once, and only what is in the kernel is a driver."""
    return (RUN / "control").exists() and shutil.which("udevadm") is not None


def is_done_with(link: str) -> bool:
    """Whether it has named and marked this link, as networkd and NetworkManager wait for too.

    Between the old name and the new one it says ID_RENAMING.
    """
    if not is_there():
        return True
    try:
        index = int((sriov.SYS_CLASS_NET / link / "ifindex").read_text())
        said = (RUN / "data" / f"n{index}").read_text().splitlines()
    except (OSError, ValueError):  # no word of it yet, or the link has just another name
        return False
    return any(line.startswith("I:") for line in said) and "E:ID_RENAMING=1" not in said


@contextlib.contextmanager
def settling(seconds: float) -> Iterator[Callable[[], bool]]:
    """Whether it has seen to all that the kernel has told it until now; to be asked again and again for that long."""
    settle = ["udevadm", "settle", f"--timeout={seconds:.0f}"]
    with subprocess.Popen(settle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        try:
            yield lambda: it.poll() == 0
        finally:
            it.kill()
