"""After a start of the host: the VFs that the panel keeps, made again with their attributes before libvirtd starts.

What came of it lies in /run/kvmagent until the next start, for the facts.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError
from pyroute2.netlink.exceptions import NetlinkError

from kvmagent import links, numvfs, settings, udev, vf_keepers, vf_state
from kvmagent.guard import write_whole
from kvmagent.links import NoSuchLink
from kvmagent.steps import Steps, VerbFailed
from kvmagent.vf_state import PfState
from kvmagent.vf_verbs import VfVerbs
from virtnet.facts import VfsRestored
from virtnet.messages import Step
from virtnet.text import Text, text

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CARD_SECONDS = 60.0  # for udev to load the drivers of the PFs and to name their links; guests wait for them


def path() -> Path:
    return settings.runtime() / "vfs-restored.json"


def read() -> VfsRestored | None:
    """What came of it at this start of the host; None when nothing was to be restored, or nobody tried."""
    try:
        written = json.loads(path().read_text())
        return VfsRestored.model_validate(written["found"]) if written["boot"] == _boot() else None
    except FileNotFoundError:
        return None
    except (ValidationError, ValueError, KeyError) as error:
        log.error("%s cannot be read: %s", path(), error)
        return None


def restore(note: Callable[[Step], None]) -> VfsRestored:
    """Make the VFs of each PF that is kept; a PF or VF that fails does not stop the others. Raises OSError.

    note: told each step.
    """
    states = vf_state.read()
    vf_keepers.write(state.pci for state in states.values())
    problems: list[Text] = []
    deadline = time.monotonic() + CARD_SECONDS
    restored = sum(_restore(name, state, deadline, note, problems) for name, state in sorted(states.items()))
    wanted = sum(state.numvfs for state in states.values())
    found = VfsRestored(wanted=wanted, restored=restored, problems=tuple(problems))
    _write(found)
    return found


def _restore(name: str, state: PfState, deadline: float, note: Callable[[Step], None], problems: list[Text]) -> int:
    """How many VFs of this PF are there with all that is wanted of them. deadline: for the PF's own link."""
    pf = _await_pf(state, deadline)
    if pf is None:
        problems.append(
            text("%(pf)s (PCI %(pci)s, MAC %(mac)s) is not there.", pf=name, pci=state.pci or "?", mac=state.mac or "?")
        )
        return 0
    verbs = VfVerbs(Steps(note))
    try:
        links.set_state(pf, up=True)  # a VF has no carrier while its PF is down, and may stay in reset
        verbs.set_numvfs(pf, state.numvfs)
        numvfs.await_links(pf)  # also where somebody else has just made them
    except VerbFailed as error:
        if not numvfs.all_there(pf, state.numvfs):
            problems.append(error.text)
            return 0
        # They are there, and one lacks an attribute: below each is tried by itself.
    except (NoSuchLink, NetlinkError) as error:
        problems.append(text("%(pf)s does not come up: %(error)s", pf=pf, error=error))
        return 0
    failed = 0
    for index, attributes in sorted(state.vfs.items()):
        try:
            verbs.set_vf(pf, index, attributes)
        except VerbFailed as error:
            problems.append(error.text)
            failed += 1
    return state.numvfs - failed


def _await_pf(state: PfState, deadline: float) -> str | None:
    """The link that the PF has now, as soon as its driver has made it and udev has named it."""

    def is_named() -> bool:
        found = _find(state)
        return found is not None and udev.is_done_with(found)

    numvfs.wait(is_named, deadline - time.monotonic())
    return _find(state)


def _find(state: PfState) -> str | None:
    """By PCI address; by MAC address where the card sits in another slot. A name is nothing to go by at a start."""
    pfs = [link for link in links.read_links() if link.totalvfs]
    same_slot = [link.name for link in pfs if state.pci and link.pci_address == state.pci]
    same_card = [link.name for link in pfs if state.mac and link.mac == state.mac]
    return next(iter([*same_slot, *same_card]), None)


def _boot() -> str:
    return BOOT_ID.read_text().strip()


def _write(found: VfsRestored) -> None:
    path().parent.mkdir(parents=True, exist_ok=True)
    write_whole(path(), json.dumps({"boot": _boot(), "found": found.model_dump(mode="json")}).encode())
