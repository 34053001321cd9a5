"""Rules of the old kind (ip_tables, `iptables-legacy`): packets pass them too, and nft does not list them.

Asked only where the kernel says that there are such tables: the program itself would make them by asking.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NET = Path("/proc/thread-self/net")
PROGRAMS = (("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy"))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Legacy:
    """dropping: forward chains whose policy is drop, e.g. "iptables-legacy filter FORWARD". unread: whether there are
    rules that nobody here can list."""

    dropping: tuple[str, ...] = ()
    docker: bool = False
    unread: bool = False


def read() -> Legacy:
    dropping: list[str] = []
    docker = unread = False
    for names, program in PROGRAMS:
        if "filter" not in _tables(names):
            continue
        saved = _saved(program)
        if saved is None:
            unread = True
            continue
        # A chain as iptables-save writes it: ":FORWARD DROP [0:0]".
        chains = dict(line[1:].split()[:2] for line in saved.splitlines() if line.startswith(":"))
        docker |= any(chain.startswith("DOCKER") for chain in chains)
        if chains.get("FORWARD") == "DROP":
            dropping.append(f"{program} filter FORWARD")
    return Legacy(tuple(dropping), docker, unread)


def _tables(names: str) -> list[str]:
    try:
        return (NET / names).read_text().split()
    except OSError:  # a kernel without it, or not root
        return []


def _saved(program: str) -> str | None:
    command = shutil.which(f"{program}-save")
    if command is None:
        return None
    try:
        done = subprocess.run([command, "-t", "filter"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s-save does not list its rules: %s", program, error)
        return None
    return done.stdout
