"""`kvmagent undo`: a person on this host takes the change back that waits for its confirmation."""

from __future__ import annotations

import argparse

from kvmagent import arming
from kvmagent.commands.keep import one_waits
from virtnet.text import text


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("undo", help="take the change back now that waits for its confirmation")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """1 when none waits."""
    if not one_waits():
        return 1
    arming.restore("kvmagent undo")
    print(text("The links are as before."))
    return 0
