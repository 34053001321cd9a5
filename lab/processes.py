"""Processes of the lab: which ones belong to it, and how to end exactly those.

A pid alone says little, because the kernel gives it out again. A process is therefore known by its pid and start time
(`/proc/PID/stat`, field 22, proc(5)), and signalled through a pidfd.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lab.errors import LabError

MARK = "KVMPANEL_LAB"  # environment variable that each process started by a lab carries and its children inherit


class ProcessId(NamedTuple):
    """One process, for as long as the machine is up. start: clock ticks since boot."""

    pid: int
    start: int


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now, or None when there is none or only a zombie of it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before ")" may hold spaces
    return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))


def is_alive(process: ProcessId) -> bool:
    return identify(process.pid) == process


def belonging(*, inodes: set[int], mark: str | None) -> list[ProcessId]:
    """Every process in one of the namespaces (`inodes` of live nsfs files) or with the lab's mark in its environment.

    libvirtd's children outlive it (QEMU, dnsmasq), so following parents would miss them; the namespace does not.
    This process and its ancestors are left out.
    """
    spared = set(_ancestors(os.getpid()))
    wanted = f"{MARK}={mark}".encode() if mark is not None else None
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        if _is_in(entry, inodes) or (wanted and wanted in _environment(entry)):
            process = identify(int(entry.name))
            if process is not None:
                found.append(process)
    return found


def end(process: ProcessId, how: signal.Signals = signal.SIGKILL, *, timeout: float = 10) -> None:
    """Signal one process and wait until it has gone; nothing happens when it has gone already.

    timeout: seconds; LabError when it still lives then.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(process):  # asked after the pidfd is held: from here on the pid cannot change hands
            return
        signal.pidfd_send_signal(pidfd, how)
        if not select.select([pidfd], [], [], timeout)[0]:
            raise LabError(f"Process {process.pid} outlived {how.name} by {timeout:g} s.", "Look at it with ps.")
    finally:
        os.close(pidfd)


def end_all(*, inodes: set[int], mark: str | None, timeout: float = 20) -> int:
    """Kill whatever belongs to the lab, again until nothing is left: a process may fork while it is looked for.

    Returns how many were killed.
    """
    deadline = time.monotonic() + timeout
    count = 0
    while processes := belonging(inodes=inodes, mark=mark):
        if time.monotonic() > deadline:
            raise LabError(f"{len(processes)} processes of the lab cannot be killed.", "Look at them with ps.")
        for process in processes:
            end(process)
        count += len(processes)
    return count


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _is_in(entry: Path, inodes: set[int]) -> bool:
    for kind in ("net", "mnt"):
        try:
            if (entry / "ns" / kind).stat().st_ino in inodes:
                return True
        except (FileNotFoundError, ProcessLookupError):  # a zombie, or gone meanwhile
            return False
    return False


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
