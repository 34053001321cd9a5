"""`kvmagent enrol --panel URL --token TOKEN`: the one command that the panel shows for a new host."""

from __future__ import annotations

import argparse
import sys

from kvmagent.enrol import EnrolmentFailed, enrol
from kvmagent.keys import in_groups


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("enrol", help="make this host known to a panel")
    parser.add_argument("--panel", required=True, metavar="URL", help="the panel's address")
    parser.add_argument("--token", required=True, help="as the panel shows it: good once, for 15 minutes")
    parser.add_argument("--name", help="what the host is called (default: its hostname)")
    parser.add_argument("--again", action="store_true", help="replace the enrolment that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        enrolled = enrol(
            arguments.panel,
            arguments.token,
            again=arguments.again,
            name=arguments.name,
            say=lambda sentence: print(sentence, file=sys.stderr),
        )
    except EnrolmentFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"Enrolled as {enrolled.name}. Compare this host's fingerprint with the one in the panel, and approve it there:"
    )
    print(f"\n    {in_groups(enrolled.host_fingerprint)}\n")
    print(f"The panel's own fingerprint is {in_groups(enrolled.panel_fingerprint)}.")
    print("Then start the agent: systemctl enable --now kvmagent")
    return 0
