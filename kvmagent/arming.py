"""The agent's side of the guard: start it with its plan, speak to it, and know what became of an armed change.

All of it lies in the state directory's `guard/`, so that an agent that was killed and started again finds it. Of a plan
of before the host's last start nothing is left to take back: what nobody confirmed is not on disk.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kvmagent import guard, settings
from kvmagent.guard import OUTCOME, PLAN, SOCKET, Outcome, Step, boot_clock, write_whole
from kvmagent.snapshot import Snapshot
from virtnet.channel import CONFIRM_SECONDS
from virtnet.text import Text, text

Asks = Literal["panel", "person"]
State = Literal["none", "armed", "lost", "kept", "restored"]  # lost: the guard is gone, and has not said what it did
START_SECONDS = 10.0  # until a new guard answers
ANSWER_SECONDS = 60.0  # until a guard has done what it was told
LONG_GONE = 600.0  # seconds after its deadline: by then somebody has looked at the host
UNIT = "kvmagent-guard.service"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger(__name__)


class GuardFailed(Exception):
    """The guard did not do what it was asked; `text` says what that means."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


@dataclass(frozen=True)
class Armed:
    """The plan of one change. owner: who asked for it, an order's id. deadline: by guard.boot_clock()."""

    owner: str
    asks: Asks
    deadline: float
    links: tuple[str, ...]
    before: Snapshot
    restore: list[Step]
    of_this_boot: bool = True

    @property
    def left(self) -> float:
        """Seconds of the window, at least 0."""
        return max(0.0, self.deadline - boot_clock())


def confirm_seconds() -> float:
    """How long a change waits for its verdict here, without what STP adds."""
    return float(os.environ.get("KVMAGENT_CONFIRM_SECONDS", CONFIRM_SECONDS))


def find() -> tuple[Armed | None, State, str]:
    """The last plan, what became of it, and why."""
    armed = _read_plan()
    if armed is None:
        return None, "none", ""
    for _ in range(2):  # it may end between the two looks
        outcome = _read(OUTCOME)
        if outcome is not None and outcome["owner"] == armed.owner:
            return armed, outcome["state"], outcome["why"]
        if not armed.of_this_boot:
            return armed, "restored", "the host was restarted"
        try:
            _ask("left")
            return armed, "armed", ""
        except (OSError, ValueError):  # ValueError: it ended before it had answered
            continue
    return armed, "lost", ""


def arm(armed: Armed) -> None:
    """Starts the guard, and waits until it stands. Raises GuardFailed, OSError."""
    directory = _directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / OUTCOME).unlink(missing_ok=True)
    (directory / SOCKET).unlink(missing_ok=True)
    _write_plan(armed)
    process = _start(directory)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _ask("left")
            return
        except (OSError, ValueError):
            if (process is not None and process.poll() is not None) or time.monotonic() > deadline:
                _give_up(armed, process)
                said = (directory / "guard.log").read_text(errors="replace").strip()[-300:]
                sentence = text("The guard does not start, so nothing was changed: %(said)s", said=said or "no word")
                raise GuardFailed(sentence) from None
            time.sleep(0.005)


def also(step: Step) -> None:
    """One more step of the way back, done before all others: for a verb that is about to change something else.

    Raises GuardFailed.
    """
    armed = _read_plan()
    if armed is None:
        raise GuardFailed(text("No guard is armed."))
    _write_plan(Armed(**{**armed.__dict__, "restore": [step, *armed.restore]}))
    tell("reload")


def run(steps: list[Step]) -> list[str]:
    """Lets the guard make a change, so that it is made whole also if this process is killed now. What was said
    against it. Raises GuardFailed."""
    return tell(f"run {json.dumps(steps)}")


def keep(by: str) -> None:
    """Disarms. Raises GuardFailed when it is too late."""
    tell(f"keep {by}")


def restore(why: str) -> None:
    """Puts the links back now: by the guard, or here when it is gone."""
    armed, state, _ = find()
    if armed is None or state == "restored":
        return
    if state == "armed":
        try:
            tell(f"restore {why}")
            return
        except GuardFailed as error:
            log.warning("%s", error)
    restore_here(armed, why)


def restore_lost() -> None:
    """What a guard that was killed has left behind. After a long time the links stay as they are: what was right before
    that change need not be so now. Raises OSError."""
    armed, state, _ = find()
    if armed is None or state != "lost":
        return
    if boot_clock() - armed.deadline > LONG_GONE:
        log.warning("the guard of %s went long ago; %s stay as they are", armed.owner, ", ".join(armed.links))
        _write_outcome(armed, "its guard had gone long before; nothing was put back")
        return
    log.warning("the guard of %s is gone; %s are put back", armed.owner, ", ".join(armed.links))
    restore_here(armed, "the guard of an earlier change was gone")


def restore_here(armed: Armed, why: str) -> None:
    """By this process, whatever the guard has done. Raises OSError."""
    for line in guard.carry_out(armed.restore):
        log.info("%s", line)
    _write_outcome(armed, why)


def tell(word: str) -> list[str]:
    """One line to the guard, and what it says against it. Raises GuardFailed."""
    try:
        return list(_ask(word)["said"])
    except (OSError, ValueError) as error:
        raise GuardFailed(text("The guard does not answer: %(error)s.", error=error)) from error


def _ask(line: str) -> Any:
    directory = os.open(_directory(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as speaking:
            speaking.settimeout(ANSWER_SECONDS)
            # The path of a socket may have 107 characters at most, and that of a directory more.
            speaking.connect(f"/proc/self/fd/{directory}/{SOCKET}")
            speaking.sendall(f"{line}\n".encode())
            return json.loads(speaking.makefile("r").readline())
    finally:
        os.close(directory)


def _start(directory: Path) -> subprocess.Popen[bytes] | None:
    """None where systemd has it."""
    # -I -S: no site-packages, no PYTHONPATH; it runs also where nothing else of the agent can be read any more.
    command = [sys.executable, "-I", "-S", guard.__file__, str(directory)]
    with (directory / "guard.log").open("wb") as told:
        if _is_under_systemd():
            # A unit of its own: what stops or kills the agent's unit does not reach it.
            unit = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", "--service-type=exec", "--"]
            started = subprocess.run([*unit, *command], stdin=subprocess.DEVNULL, stderr=told, check=False, timeout=10)
            if started.returncode == 0:
                return None
            log.warning("systemd gives the guard no unit of its own; it runs beside the agent")
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd="/", start_new_session=True
        )


def _give_up(armed: Armed, process: subprocess.Popen[bytes] | None) -> None:
    """A guard that stands too late must not put back what another change has done by then."""
    _write_outcome(armed, "the guard did not start")
    if process is not None:
        process.kill()
        process.wait()
        return
    try:
        subprocess.run(["systemctl", "stop", UNIT], capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("the guard's unit could not be stopped: %s", error)


def _is_under_systemd() -> bool:
    return (
        Path("/run/systemd/system").is_dir()
        and shutil.which("systemd-run") is not None
        and is_in_the_machine_s_namespace()
    )


def is_in_the_machine_s_namespace() -> bool:
    """Else a unit would look after the machine's links, not after those of a container."""
    try:
        return os.stat("/proc/thread-self/ns/net").st_ino == os.stat("/proc/1/ns/net").st_ino
    except PermissionError:
        # With kvmagent.service's few capabilities root may not look at init. A unit's processes are where init is.
        return "INVOCATION_ID" in os.environ
    except OSError:
        return False


def _directory() -> Path:
    return settings.state() / "guard"


def _write_plan(armed: Armed) -> None:
    content = {
        "owner": armed.owner,
        "asks": armed.asks,
        "deadline": armed.deadline,
        "links": armed.links,
        "before": [[link, thing, how] for (link, thing), how in armed.before.items()],
        "restore": armed.restore,
        "boot": BOOT_ID.read_text().strip(),
        "netns": os.stat("/proc/thread-self/ns/net").st_ino,
    }
    write_whole(_directory() / PLAN, json.dumps(content).encode())


def _write_outcome(armed: Armed, why: str) -> None:
    outcome: Outcome = {"owner": armed.owner, "state": "restored", "why": why, "at": boot_clock()}
    write_whole(_directory() / OUTCOME, json.dumps(outcome).encode())


def _read_plan() -> Armed | None:
    found = _read(PLAN)
    if found is None:
        return None
    return Armed(
        owner=found["owner"],
        asks=found["asks"],
        deadline=found["deadline"],
        links=tuple(found["links"]),
        before={(link, thing): how for link, thing, how in found["before"]},
        restore=found["restore"],
        of_this_boot=found["boot"] == BOOT_ID.read_text().strip(),
    )


def _read(name: str) -> Any:
    try:
        return json.loads((_directory() / name).read_text())
    except (FileNotFoundError, ValueError):
        return None
