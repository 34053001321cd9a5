"""`kvmagent plan FILE`: what an action would do on this host, and what stands in its way. Touches nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from kvmagent.commands.action_file import NoAction, read_action
from kvmagent.facts import read_facts
from kvmagent.libvirt_connection import Libvirt
from virtnet.actions import AnyAction
from virtnet.plan import plan
from virtnet.spec import Problem
from virtnet.verbs import Verb


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("plan", help="show what an action would do on this host; touches nothing")
    parser.add_argument("file", metavar="FILE", help="one action as JSON; - for stdin")
    parser.add_argument("--uri", default="qemu:///system", help="libvirt's URI (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0; 1 when something stands in the way, 2 for a file that holds no action."""
    try:
        action = read_action(arguments.file)
    except NoAction as error:
        print(error, file=sys.stderr)
        return 2
    libvirt = Libvirt(arguments.uri)
    try:
        facts = read_facts(libvirt)
    finally:
        libvirt.close()
    if facts.libvirt_error is not None:
        print(facts.libvirt_error, file=sys.stderr)
        return 1
    problems = action.problems(facts)
    verbs = plan(action, facts)
    _print_json(verbs, problems) if arguments.json else _print(action, verbs, problems)
    return 1 if problems else 0


def _print(action: AnyAction, verbs: Sequence[Verb], problems: Sequence[Problem]) -> None:
    print(action.title())
    for number, verb in enumerate(verbs, start=1):
        print(f"\n{number}. {verb.text}\n   $ {verb.command}")
        if verb.left_out is not None:
            print(f"   {verb.left_out}")
        for line in verb.document.splitlines():
            print(f"   | {line}")
    if problems:
        print("\nThis stands in the way:")
    for problem in problems:
        print(f"- {problem.text}" + (f" {problem.fix}" if problem.fix else ""))


def _print_json(verbs: Sequence[Verb], problems: Sequence[Problem]) -> None:
    steps = [{"text": str(verb.text), "command": verb.command, "document": verb.document} for verb in verbs]
    found = [
        {"text": str(problem.text), "fix": str(problem.fix) if problem.fix else None, "field": problem.field}
        for problem in problems
    ]
    print(json.dumps({"steps": steps, "problems": found}, indent=2))
