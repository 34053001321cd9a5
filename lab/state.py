"""What a lab has put up, written down before it is put up, so that a later process can take it down.

`/run/kvmpanel-lab/PREFIX/state.json`; the lab that wrote it may have been killed at any point.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.processes import ProcessId, identify, is_alive

ROOT = Path("/run/kvmpanel-lab")
PREFIX = re.compile(r"[a-z][a-z0-9]{0,11}")


class Locked(LabError):
    """Another process has the lab of this prefix in its hands."""


@dataclass
class State:
    """One lab's record.

    owner: the process that has the lab in its hands; None for a lab that was left up on purpose.
    namespaces: name → inode of its nsfs file (0 while it is being made).
    anchors: host → the process that keeps the host's mount and UTS namespaces.
    """

    prefix: str
    hosts: int
    guests_per_host: int
    subnet: str
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    boot: str = field(default_factory=lambda: boot_id())
    owner: ProcessId | None = None
    complete: bool = False
    namespaces: dict[str, int] = field(default_factory=dict)
    anchors: dict[str, ProcessId] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return directory(self.prefix)

    def save(self) -> None:
        """Write the record in one step: a reader, or a successor after a kill, sees the old one or the new one."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.directory / "state.json.new"
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(self.directory / "state.json")

    def take_ownership(self) -> None:
        self.owner = identify(os.getpid())

    def owner_is_alive(self) -> bool:
        return self.is_of_this_boot() and self.owner is not None and is_alive(self.owner)

    def is_abandoned(self) -> bool:
        """Nobody holds it, and it was not left up on purpose."""
        left_up = self.complete and self.owner is None and self.is_of_this_boot()
        return not left_up and not self.owner_is_alive()

    def is_of_this_boot(self) -> bool:
        return self.boot == boot_id()

    def forget(self) -> None:
        shutil.rmtree(self.directory)


def directory(prefix: str) -> Path:
    if not PREFIX.fullmatch(prefix):
        raise LabError(
            f"“{prefix}” cannot be a lab's prefix.", "Choose up to 12 lower-case letters and digits, a letter first."
        )
    return ROOT / prefix


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def load(prefix: str) -> State | None:
    """The record of the lab with this prefix, or None when there is none."""
    try:
        record = json.loads((directory(prefix) / "state.json").read_text())
    except FileNotFoundError:
        return None
    record["owner"] = record["owner"] and ProcessId(*record["owner"])
    record["anchors"] = {name: ProcessId(*anchor) for name, anchor in record["anchors"].items()}
    return State(**record)


def load_all() -> list[State]:
    prefixes = sorted(path.parent.name for path in ROOT.glob("*/state.json"))
    return [state for prefix in prefixes if (state := load(prefix)) is not None]


@contextmanager
def lock(prefix: str) -> Iterator[None]:
    """One process at a time puts the lab of this prefix up or takes it down; the kernel drops a dead one's lock."""
    own = directory(prefix)
    ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = ROOT / f"{prefix}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise BlockingIOError  # the one before us has just removed this file; another may hold the next one
        except BlockingIOError:
            raise Locked(
                f"Another process is putting lab “{prefix}” up or taking it down.",
                "Wait for it, or use another --prefix.",
            ) from None
        try:
            yield
        finally:
            if not own.exists():
                path.unlink()
