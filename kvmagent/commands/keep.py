"""`kvmagent keep`: a person on this host lets the change stay that waits for its confirmation."""

from __future__ import annotations

import argparse
import sys

from kvmagent import arming
from virtnet.text import text


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("keep", help="let the change stay that waits for its confirmation")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """1 when none waits, or when it is too late."""
    if not one_waits():
        return 1
    try:
        arming.keep("kvmagent keep")
    except arming.GuardFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(text("The change stays."))
    return 0


def one_waits() -> bool:
    """Whether a change waits; else it is said."""
    try:
        armed, state, _ = arming.find()
    except PermissionError as error:
        print(f"{error.filename} cannot be read. Run kvmagent as root.", file=sys.stderr)
        return False
    if armed is not None and state == "armed":
        return True
    print(text("No change of this host waits for a confirmation."), file=sys.stderr)
    return False
