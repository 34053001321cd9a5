"""`kvmagent COMMAND`: only the module of that command is imported, so that `kvmagent facts` never loads Celery."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from kvmagent import __version__

COMMANDS = ("enrol", "run", "facts", "plan", "apply", "keep", "undo", "doctor", "restore-vfs")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the command that the arguments name."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="kvmagent", description="The kvmpanel agent of a KVM host.")
    parser.add_argument("--version", action="version", version=f"kvmagent {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS if not given or given[0] not in COMMANDS else given[:1]:
        import_module(f"kvmagent.commands.{command.replace('-', '_')}").register(subparsers)
    chosen = parser.parse_args(given)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    status: int = chosen.run(chosen)
    return status


if __name__ == "__main__":
    sys.exit(main())
