"""`kvmagent apply FILE`: carry out one action on this host now, without the panel."""

from __future__ import annotations

import argparse
import sys

from kvmagent.alone import alone
from kvmagent.carry_out import Finished, carry_out
from kvmagent.commands.action_file import NoAction, read_action
from kvmagent.libvirt_connection import Libvirt
from virtnet.messages import Step

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
    try:
        with alone():
            finished = carry_out(action, libvirt, _print_json_step if arguments.json else _print_step)
    except PermissionError as error:
        print(f"{error.filename} cannot be written. Run kvmagent as root.", file=sys.stderr)
        return 1
    finally:
        libvirt.close()
    _print_end(finished)
    return STATUS[finished.outcome]


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
