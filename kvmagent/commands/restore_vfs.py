"""`kvmagent restore-vfs`: after a start of the host, the VFs that the panel keeps; kvmpanel-vfs.service calls it."""

from __future__ import annotations

import argparse

from kvmagent import vf_restore
from virtnet.messages import Step


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("restore-vfs", help="make the VFs that the panel keeps, with their attributes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0; 1 when a VF is missing or lacks an attribute."""
    found = vf_restore.restore(_print)
    print(f"{found.restored} of {found.wanted} VFs restored.")
    for problem in found.problems:
        print(problem)
    return 0 if found.restored == found.wanted else 1


def _print(step: Step) -> None:
    print(f"{step.outcome}: {step.command or step.text}")
