"""The process that puts the host's network back unless it is told in time that all is well.

    python -I -S guard.py DIRECTORY

The agent starts it before the first change, as a process of its own: it lives on when the agent, Redis and the panel do
not. It needs the standard library and `ip`, nothing else. DIRECTORY holds plan.json (see kvmagent/arming.py), gets the
socket on which the guard is spoken to, one word a line, and at the end outcome.json.

The guard also makes the change, by the same kind of steps: an agent that is killed then leaves nothing half done.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypedDict

PLAN, SOCKET, OUTCOME, LOCK = "plan.json", "guard.sock", "outcome.json", "guard.lock"
LOOK = 0.25  # seconds: how often the clock is looked at. select(2) does not count the time of a suspended host
PATIENCE = 1.0  # seconds for a client to say its word
FORMER = 5.0  # seconds for the guard of the change before this one to be gone
LONGEST_STEP = 10.0  # seconds
LINES_A_SECOND = 1000  # of a batch, at the very least
LONGEST_WAIT = 0.5  # seconds, for what the kernel does by itself
END = "link show dev lo"  # the last line of a batch, and the only one that prints
KINDS: tuple[tuple[str, ...], ...] = ((), ("-6",))  # of batches: options of `ip`, -6 for rules


class Write(TypedDict):
    """A file under /proc/sys or /sys, and its text. One that is not there is left out."""

    do: Literal["write"]
    path: str
    value: str


class Batch(TypedDict):
    """Lines for `ip -force -batch`, which print nothing: what is so already the kernel refuses, and the rest goes on,
    also after a line that `ip` itself does not understand."""

    do: Literal["ip"]
    options: list[str]  # [], ["-4"], ["-6"]
    lines: list[str]


class Run(TypedDict):
    """Any other command, e.g. `nft -f FILE`."""

    do: Literal["run"]
    command: list[str]


class Wait(TypedDict):
    """Until a file under /sys says so, or for LONGEST_WAIT: a link without a cable never will."""

    do: Literal["wait"]
    path: str
    value: str


Step = Write | Batch | Run | Wait


class Outcome(TypedDict):
    owner: str
    state: Literal["kept", "restored"]
    why: str
    at: float  # by boot_clock()


def boot_clock() -> float:
    """Seconds since boot, those of a suspended host too: it does not hang on any wall clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def carry_out(steps: list[Step], batches: Batches | None = None) -> list[str]:
    """Each step in order, whatever becomes of the others; what was said against them. batches: that stand ready, and
    are used up."""
    said = []
    with contextlib.closing(batches or Batches()) as batches:
        for step in steps:
            try:
                if step["do"] == "write":
                    Path(step["path"]).write_text(step["value"])
                elif step["do"] == "ip":
                    said += batches.run(tuple(step["options"]), step["lines"])
                elif step["do"] == "wait":
                    _wait(Path(step["path"]), step["value"])
                else:
                    said += _run(step["command"])
            except (OSError, subprocess.TimeoutExpired) as error:
                said.append(str(error))
    return said


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """There whole or not at all, also after a power cut. Raises OSError; the directory must be there."""
    # Always of the same name: what a power cut left of it the next try writes over. No owner of a network reads it.
    draft = path.with_name(f".{path.name}.kvmpanel")
    draft.unlink(missing_ok=True)
    with open(draft, "xb", opener=_for_its_owner_alone) as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def _for_its_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_directory(directory: Path) -> None:
    """Returns when the names in it are on the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wait(path: Path, value: str) -> None:
    end = time.monotonic() + LONGEST_WAIT
    while path.read_text().strip() != value and time.monotonic() < end:
        time.sleep(0.0002)  # sysfs tells no change of it


def _run(command: list[str]) -> list[str]:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LONGEST_STEP,
        check=False,
        start_new_session=True,
    )
    return done.stderr.splitlines()


class Batches:
    """One `ip` for all the batches of a list of steps that have the same options: to start it takes longer than what it
    does then. Those of KINDS can stand ready, but not for a second list: `ip` remembers which link has which name."""

    def __init__(self, *kinds: tuple[str, ...]) -> None:
        self._running: dict[tuple[str, ...], _Ip] = {}
        with contextlib.suppress(OSError):  # e.g. no memory now: the batch tries once more
            for options in kinds:
                self._running[options] = _Ip(options)

    def run(self, options: tuple[str, ...], lines: list[str]) -> list[str]:
        """All at once; one by one where that came to no end: a word that `ip` does not know ends it there and then,
        -force or not, and says not where. What was said against them. Raises OSError, TimeoutExpired."""
        ip = self._running.pop(options, None)
        if ip is None or ip.is_gone():
            ip = _Ip(options)
        try:
            came_to_the_end = ip.take(lines)
            said = ip.said()
        except BaseException:  # it hangs
            ip.close()
            raise
        if came_to_the_end:
            self._running[options] = ip
            return said
        ip.close()
        for line in lines:
            said += _run(["ip", *options, *shlex.split(line)])
        return said

    def close(self) -> None:
        while self._running:
            self._running.popitem()[1].close()


class _Ip:
    """Raises OSError."""

    def __init__(self, options: tuple[str, ...]) -> None:
        command = ["ip", "-oneline", *options, "-force", "-batch", "-"]
        self._speaking, its = socket.socketpair()
        self._said = os.memfd_create("said")
        self._heard = 0  # bytes of it
        try:
            self._process = subprocess.Popen(
                command, stdin=its.fileno(), stdout=its.fileno(), stderr=self._said, start_new_session=True
            )
        except OSError:
            self._speaking.close()
            os.close(self._said)
            raise
        finally:
            its.close()

    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def take(self, lines: list[str]) -> bool:
        """Whether it came to the end of them."""
        self._speaking.settimeout(LONGEST_STEP + len(lines) / LINES_A_SECOND)
        told = b""
        try:
            self._speaking.sendall("".join(f"{line}\n" for line in [*lines, END]).encode())
            while not told.endswith(b"\n"):
                more = self._speaking.recv(4096)
                if not more:
                    return False
                told += more
        except ConnectionError:
            return False
        return True

    def said(self) -> list[str]:
        """Since the last time."""
        new = os.pread(self._said, os.fstat(self._said).st_size - self._heard, self._heard)
        self._heard += len(new)
        return new.decode(errors="replace").splitlines()

    def close(self) -> None:
        """It has done its last line, or hangs."""
        self._process.kill()
        self._process.wait()
        self._speaking.close()
        os.close(self._said)


class Guard:
    """One armed change, from the plan to the outcome."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._is_told_to_go = False
        self._lock = self._alone()
        self._read()
        if self._is_decided():
            raise SystemExit("the change is over already")
        if os.stat("/proc/self/ns/net").st_ino != self._plan["netns"]:
            raise SystemExit("the plan is for another network namespace")
        (directory / SOCKET).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # By a relative name: the path of a socket may have 107 characters at most.
        os.chdir(directory)
        self._socket.bind(SOCKET)
        self._socket.listen()
        self._socket.settimeout(LOOK)
        self._batches: Batches | None = None  # for the next steps: those of the way back at the latest

    def watch(self) -> None:
        """Until the change is kept or taken back."""
        while boot_clock() < self._plan["deadline"] and not self._is_told_to_go:
            self._batches = self._batches or Batches(*KINDS)
            for client in self._clients():
                with client:
                    if self._hear(client):
                        return
        if self._is_decided():
            _log("somebody else has decided: this guard was away for too long")
        else:
            self._restore("the guard was ended" if self._is_told_to_go else "nobody confirmed in time")

    def told_to_go(self, *_: object) -> None:
        """SIGTERM while armed: nobody would be left to put the host back later. What is being done is done first."""
        self._is_told_to_go = True

    def _alone(self) -> IO[str]:
        """A guard that nobody speaks to any more would put the host back from under the one that is spoken to."""
        file = (self._directory / LOCK).open("w")
        end = time.monotonic() + FORMER
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SystemExit("the guard of another change is still there") from None
                time.sleep(0.005)

    def _is_decided(self) -> bool:
        """Whether an agent, which this guard did not answer, has ended its change, or armed another since."""
        try:
            plan = json.loads((self._directory / PLAN).read_text())
            outcome = self._directory / OUTCOME
            decided = json.loads(outcome.read_text())["owner"] if outcome.exists() else None
            return bool(plan["owner"] != self._plan["owner"] or decided == self._plan["owner"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            _log(f"nobody knows whether it is decided: {error}")
            return False

    def _clients(self) -> Iterator[socket.socket]:
        try:
            client = self._socket.accept()[0]
        except TimeoutError:
            return
        except OSError as error:  # e.g. no file descriptor is left on the host
            _log(f"nobody can be heard: {error}")
            time.sleep(LOOK)
            return
        yield client

    def _hear(self, client: socket.socket) -> bool:
        """Does what it is told; whether that was the end."""
        client.settimeout(PATIENCE)
        said: list[str] = []
        over = False
        try:
            line = client.makefile("r").readline()
            # Without its end it is the half of a line, from an agent that was killed.
            word, _, argument = line[:-1].partition(" ") if line.endswith("\n") else ("", "", "")
            if word == "keep":
                self._end("kept", argument)
                over = True
            elif word == "restore":
                said = self._restore(argument)
                over = True
            elif word == "reload":
                self._read()
            elif word == "run":
                said = self._carry_out(json.loads(argument))
            client.sendall(json.dumps({"left": self._plan["deadline"] - boot_clock(), "said": said}).encode() + b"\n")
        # Whatever it was: without this guard nobody would put the host back.
        except Exception as error:  # noqa: BLE001
            _log(f"a client was not understood: {type(error).__name__}: {error}")
        return over

    def _read(self) -> None:
        self._plan: dict[str, Any] = json.loads((self._directory / PLAN).read_text())

    def _restore(self, why: str) -> list[str]:
        said = self._carry_out(self._plan["restore"])
        for line in said:
            _log(line)
        self._end("restored", why)
        return said

    def _carry_out(self, steps: list[Step]) -> list[str]:
        batches, self._batches = self._batches, None
        return carry_out(steps, batches)

    def _end(self, state: Literal["kept", "restored"], why: str) -> None:
        outcome: Outcome = {"owner": self._plan["owner"], "state": state, "why": why, "at": boot_clock()}
        write_whole(Path(OUTCOME), json.dumps(outcome).encode())
        Path(SOCKET).unlink(missing_ok=True)
        self._lock.close()


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(directory: str) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guard = Guard(Path(directory))
    signal.signal(signal.SIGTERM, guard.told_to_go)
    guard.watch()


if __name__ == "__main__":
    main(sys.argv[1])
