"""`kvmagent apply FILE`: carry out one action on this host now, without the panel."""

from __future__ import annotations

import argparse
import select
import sys
import time
from typing import Literal
from uuid import uuid4

from kvmagent import arming
from kvmagent.alone import alone
from kvmagent.arming import Armed
from kvmagent.carry_out import Finished, carry_out
from kvmagent.commands.action_file import NoAction, read_action
from kvmagent.libvirt_connection import Libvirt
from virtnet.messages import Step
from virtnet.text import text

LOOK_SECONDS = 0.5
STATUS = {"applied": 0, "refused": 1, "undone": 3, "failed": 4}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "apply",
        help="carry out one action on this host now, without the panel",
        epilog="Exit status: 0 applied; 1 refused, nothing was touched; 2 the file holds no action; "
        "3 failed and undone; 4 failed and not all of it undone.",
    )
    parser.add_argument("file", metavar="FILE", help="one action as JSON; - for stdin")
    parser.add_argument("--uri", default="qemu:///system", help="libvirt's URI (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print each step as a line of JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        action = read_action(arguments.file)
    except NoAction as error:
        print(error, file=sys.stderr)
        return 2
    libvirt = Libvirt(arguments.uri)
    confirmation = TerminalConfirmation(reads=arguments.file != "-" and sys.stdin.isatty())
    note = _print_json_step if arguments.json else _print_step
    try:
        with alone():
            finished = carry_out(action, libvirt, note, confirmation=confirmation)
    except PermissionError as error:
        print(f"{error.filename} cannot be written. Run kvmagent as root.", file=sys.stderr)
        return 1
    finally:
        libvirt.close()
    _print_end(finished)
    return STATUS[finished.outcome]


class TerminalConfirmation:
    """A person at this host. reads: whether `keep` can be typed here; from another login `kvmagent keep` says the same,
    and proves that the host is still reached."""

    def __init__(self, *, reads: bool) -> None:
        self.owner = f"terminal-{uuid4()}"
        self._reads = reads

    def verdict(self, armed: Armed) -> Literal["keep", "undo"] | None:
        here = text(" Or type keep or undo here.") if self._reads else ""
        print(
            text(
                "The change is made. Log in once more, and run kvmagent keep or kvmagent undo within %(seconds)s s; "
                "else all goes back.",
                seconds=round(armed.left),
            ),
            here,
            file=sys.stderr,
            flush=True,
        )
        while armed.left:
            state = arming.find()[1]
            if state != "armed":
                return "keep" if state == "kept" else "undo"
            typed = self._typed()
            if typed in {"keep", "undo"}:
                return "keep" if typed == "keep" else "undo"
        return None

    def _typed(self) -> str:
        """What was typed within half a second, "" for nothing."""
        if not self._reads:
            time.sleep(LOOK_SECONDS)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
        return sys.stdin.readline().strip() if ready else ""


def _print_step(step: Step) -> None:
    detail = f" {step.detail}" if step.detail else ""
    print(f"{step.outcome:>11}  {step.text}{detail}\n{'':>11}  $ {step.command}", flush=True)


def _print_json_step(step: Step) -> None:
    print(step.model_dump_json(), flush=True)


def _print_end(finished: Finished) -> None:
    """To stderr, so that stdout holds the steps alone."""
    for problem in finished.problems:
        print(f"{problem.text}" + (f" {problem.fix}" if problem.fix else ""), file=sys.stderr)
    if finished.error is not None:
        print(finished.error, file=sys.stderr)
    print(f"{finished.outcome}.", file=sys.stderr)
