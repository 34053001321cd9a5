"""A VF that a guest has let go of goes back to what the panel wants of it, and else to its driver's defaults, so that
the next guest inherits nothing.

libvirt puts back the MAC address and the VLAN that it set, when it gives the VF back to the host's driver. It knows
nothing of spoofchk, trust, link state and rates, nor of what was changed while the guest ran.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pyroute2.netlink.exceptions import NetlinkError

from kvmagent import settings, vf_attributes
from kvmagent.alone import alone, alone_if_free
from kvmagent.guard import write_whole
from kvmagent.links import NoSuchLink
from kvmagent.vf_verbs import differing, groups
from virtnet.facts import HostFacts
from virtnet.link_facts import Link, Vf
from virtnet.vf import DEFAULTS, NO_MAC, target
from virtnet.vf_ledger import find_vf, holders

VFIO = "vfio-pci"
_owned: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])

log = logging.getLogger(__name__)


class VfRelease:
    """Follows the facts as they are read. Which VFs guests own is kept in a file: guests stop while no agent runs too.

    Only VFs that a guest has had are ever reset; what somebody set on others by hand is theirs.

    again: has the facts read again soon, after an order that was in the way.
    """

    def __init__(self, again: Callable[[], None], path: Path | None = None) -> None:
        self._again = again
        self._path = path or settings.state() / "owned_vfs.json"
        self._owned = self._read()
        self._queues = threading.Lock()  # held while a thread waits for the turn

    def follow(self, read: Callable[[], HostFacts]) -> HostFacts:
        """The facts, read now. Resets what was let go of since the last; the kernel tells of each reset, so new facts
        are read then.

        Beside an order, which may be about the very VF, nothing is reset: that waits until the order has ended, and the
        facts do not wait with it. While libvirtd is down nobody knows who owns what: nothing is done.
        """
        facts = read()
        if self._let_go_of(facts):
            with alone_if_free() as is_alone:
                if is_alone:
                    facts = read()  # an order may have ended since
                    self._reset(facts)
                else:
                    self._come_back()
        self._note_owners(facts)
        return facts

    def _let_go_of(self, facts: HostFacts) -> list[str]:
        """Addresses of the VFs that are to be reset now, or are gone."""
        if facts.libvirt_error is not None:
            return []
        owned = _owners(facts)
        return [address for address in self._owned if address not in owned and _is_back(facts, address)]

    def _reset(self, facts: HostFacts) -> None:
        for address in self._let_go_of(facts):
            mac = self._owned.pop(address)
            if found := find_vf(facts, address):
                _reset(*found, mac)
            self._write()

    def _note_owners(self, facts: HostFacts) -> None:
        if facts.libvirt_error is None and (owned := self._owned | _owners(facts)) != self._owned:
            self._owned = owned
            self._write()

    def _come_back(self) -> None:
        """Have the facts read again once nobody has his turn."""
        if self._queues.acquire(blocking=False):
            threading.Thread(target=self._queue, name="vf-release", daemon=True).start()

    def _queue(self) -> None:
        try:
            with alone():
                pass
        finally:
            self._queues.release()
        self._again()

    def _read(self) -> dict[str, str]:
        """PCI address of the VF -> MAC address of the guest's card."""
        try:
            return _owned.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            log.error("%s cannot be read: %s", self._path, error)
            return {}

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(self._owned, sort_keys=True).encode())


def _owners(facts: HostFacts) -> dict[str, str]:
    """PCI address of each VF that a running guest has -> MAC address of the guest's card."""
    return {
        vf.pci_address: holder.card.mac
        for pf in facts.links
        for vf in pf.vfs
        for holder in holders(facts, vf)[:1]
        if holder.now
    }


def _is_back(facts: HostFacts, address: str) -> bool:
    """Whether a VF that no guest has is the host's own again, or gone.

    With VFIO it is still on its way back to the host's driver, or on its way to the next guest, for which libvirt is
    setting its MAC address and VLAN at this moment.
    """
    found = find_vf(facts, address)
    return found is None or found[1].driver != VFIO


def _reset(pf: Link, vf: Vf, guest_s_mac: str) -> None:
    """The MAC address only where it is the guest's: libvirt may have put back one that the host's driver has drawn.

    What cannot be set is said in the log; the ledger shows it where somebody wants it otherwise."""
    try:
        found = vf_attributes.read(pf.name).get(vf.index)
    except (NoSuchLink, NetlinkError) as error:
        log.warning("VF %d of %s cannot be looked at: %s", vf.index, pf.name, error)
        return
    if found is None:
        return
    wanted = DEFAULTS | (target(vf.wanted, None) if vf.wanted is not None else {})
    told = {name: value for name, value in wanted.items() if found.value(name) is not None}
    if found.mac != guest_s_mac and wanted["mac"] == NO_MAC:
        del told["mac"]
    for values in groups(differing(found, told)):
        try:
            vf_attributes.set_values(pf.name, vf.index, values)
        except (NoSuchLink, NetlinkError) as error:
            log.warning("VF %d of %s keeps other values than %s: %s", vf.index, pf.name, values, error)
        else:
            log.info("VF %d of %s was let go of and has %s again", vf.index, pf.name, values)
