"""What the panel wants of this host's VFs, kept for the host's next start.

vfs.json in the agent's state directory: {PF: {mac, pci, numvfs, vfs: {index: attributes}}}. It is written once a change
stands, and read when VFs are restored before libvirtd starts, and for the facts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from kvmagent import settings
from kvmagent.guard import write_whole
from virtnet.vf import VfAttributes

log = logging.getLogger(__name__)


class PfState(BaseModel):
    """One PF. mac and pci know the card again when its link has another name."""

    model_config = ConfigDict(frozen=True)

    mac: str = ""
    pci: str = ""
    numvfs: int = 0
    vfs: dict[int, VfAttributes] = {}


_adapter = TypeAdapter(dict[str, PfState])


def path() -> Path:
    return settings.state() / "vfs.json"


def read() -> dict[str, PfState]:
    """All PFs by name; none where nothing was ever wanted. What cannot be read is said in the log and left out."""
    try:
        written = path().read_bytes()
    except FileNotFoundError:
        return {}
    try:
        return _adapter.validate_json(written)
    except ValidationError as error:
        log.error("%s cannot be read: %s", path(), error)
        return {}


def of(states: Mapping[str, PfState], name: str, pci: str | None) -> PfState | None:
    """What is wanted of the PF whose link is called `name` now; its PCI address counts more than its name."""
    if pci:
        for state in states.values():
            if state.pci == pci:
                return state
    found = states.get(name)
    return found if found is not None and (not pci or not found.pci) else None


def keep(name: str, state: PfState | None) -> None:
    """Replace what is wanted of one PF; None or no VFs forgets it. Raises OSError."""
    states = {
        other: kept
        for other, kept in read().items()
        if other != name and (state is None or not state.pci or kept.pci != state.pci)
    }
    if state is not None and state.numvfs:
        states[name] = state
    _write({name: state.model_dump(mode="json", exclude_none=True) for name, state in sorted(states.items())})


def _write(states: object) -> None:
    path().parent.mkdir(parents=True, exist_ok=True)
    write_whole(path(), json.dumps(states, indent=2).encode())
