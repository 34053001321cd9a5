"""`kvmagent facts`: what the agent finds on this host, as JSON; what the panel would be told."""

from __future__ import annotations

import argparse

from kvmagent.facts import read_facts
from kvmagent.libvirt_connection import Libvirt


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("facts", help="show what the agent finds on this host, as JSON")
    parser.add_argument("--uri", default="qemu:///system", help="libvirt's URI (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0; 1 when libvirtd is down (the facts that are left are printed all the same)."""
    libvirt = Libvirt(arguments.uri)
    try:
        facts = read_facts(libvirt)
    finally:
        libvirt.close()
    print(facts.model_dump_json(indent=2))
    return 0 if facts.libvirt_error is None else 1
