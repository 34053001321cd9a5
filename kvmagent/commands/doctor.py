"""`kvmagent doctor`: what this host lacks for the agent's work, each with its fix."""

from __future__ import annotations

import argparse
import json

from kvmagent.check import Check
from kvmagent.doctor import examine
from kvmagent.libvirt_connection import Libvirt


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("doctor", help="look for what is missing on this host; changes nothing")
    parser.add_argument("--uri", default="qemu:///system", help="libvirt's URI (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0; 1 when something is bad."""
    libvirt = Libvirt(arguments.uri)
    try:
        checks = examine(libvirt)
    finally:
        libvirt.close()
    if arguments.json:
        print(json.dumps([_plain(check) for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{check.state:>4}  {check.name}: {check.text}")
            if check.fix is not None:
                print(f"{'':>4}  {'':>{len(check.name)}}  {check.fix}")
    return 1 if any(check.state == "bad" for check in checks) else 0


def _plain(check: Check) -> dict[str, str | None]:
    fix = None if check.fix is None else str(check.fix)
    return {"name": check.name, "state": check.state, "text": str(check.text), "fix": fix}
