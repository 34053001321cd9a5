"""What one action did on this host, step by step, and how each step is taken back."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import libvirt
from pyroute2.netlink.exceptions import NetlinkError

from kvmagent.arming import GuardFailed
from kvmagent.firewall import FirewallFailed
from kvmagent.libvirt_connection import LibvirtDown
from kvmagent.links import NoSuchLink
from kvmagent.persist.owners import OwnerFailed
from virtnet.messages import Step
from virtnet.text import Text, text
from virtnet.verbs import Verb

log = logging.getLogger(__name__)


class VerbFailed(Exception):
    """A verb could not be done; `text` says the thing and the remedy."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


FAILURES = (
    VerbFailed,
    LibvirtDown,
    FirewallFailed,
    GuardFailed,
    OwnerFailed,
    NoSuchLink,
    libvirt.libvirtError,
    NetlinkError,
    OSError,
    subprocess.SubprocessError,
)


@dataclass(frozen=True)
class Undo:
    """How one step is taken back; `run` returns whether there was something to take back."""

    verb: Verb
    run: Callable[[], bool]


class Steps:
    """Tells each step as it happens, and keeps the way back."""

    def __init__(self, note: Callable[[Step], None]) -> None:
        self._note = note
        self._undo: list[Undo] = []

    @contextmanager
    def doing(self, verb: Verb) -> Iterator[None]:
        """Whatever goes wrong inside is told as a failed step and raised as VerbFailed."""
        try:
            yield
        except FAILURES as error:
            sentence = explained(verb, error)
            self._tell(verb, "failed", sentence)
            raise VerbFailed(sentence) from error

    def done(self, verb: Verb, detail: Text | None = None) -> None:
        self._tell(verb, "done", detail)

    def already_so(self, verb: Verb, detail: Text | None = None) -> None:
        self._tell(verb, "already-so", detail)

    def not_undone(self, verb: Verb, detail: Text) -> None:
        self._tell_if_it_can_be(verb, "undo-failed", detail)

    def push(self, back: Verb, run: Callable[[], bool]) -> None:
        """Before the thing is done: a connection may break off after libvirtd has done it and before it has said so."""
        self._undo.append(Undo(back, run))

    def undo(self) -> bool:
        """Take back what was done, the last first; what cannot be taken back, a defect of ours too, does not stop the
        rest, and neither does a full disk, which takes no notes.

        True when all of it worked.
        """
        all_undone = True
        while self._undo:
            undo = self._undo.pop()
            try:
                was_there = undo.run()
            except Exception as error:
                all_undone = False
                log.exception("%s failed", undo.verb.text)
                self._tell_if_it_can_be(undo.verb, "undo-failed", explained(undo.verb, error))
            else:
                if was_there:
                    self._tell_if_it_can_be(undo.verb, "undone")
        return all_undone

    def _tell_if_it_can_be(
        self, verb: Verb, outcome: Literal["undone", "undo-failed"], detail: Text | None = None
    ) -> None:
        try:
            self._tell(verb, outcome, detail)
        except Exception:
            log.exception("%s (%s) could not be noted", verb.text, outcome)

    def _tell(
        self,
        verb: Verb,
        outcome: Literal["done", "already-so", "failed", "undone", "undo-failed"],
        detail: Text | None = None,
    ) -> None:
        self._note(Step(text=verb.text, command=verb.command, outcome=outcome, detail=detail))


def explained(verb: Verb, error: Exception) -> Text:
    """The error in a sentence for people."""
    if isinstance(error, VerbFailed | LibvirtDown | FirewallFailed | GuardFailed | OwnerFailed):
        return error.text
    if isinstance(error, NoSuchLink):
        return text("This host has no link %(link)s any more.", link=error)
    if isinstance(error, libvirt.libvirtError):
        return _libvirt_refused(verb, error)
    if isinstance(error, NetlinkError):
        return text("The kernel refused (%(command)s): %(error)s", command=verb.command, error=error)
    return text("It failed (%(command)s): %(error)s", command=verb.command, error=error)


def _libvirt_refused(verb: Verb, error: libvirt.libvirtError) -> Text:
    if error.get_error_domain() != libvirt.VIR_FROM_FIREWALL:
        return text("libvirt refused (%(command)s): %(error)s", command=verb.command, error=error)
    # It makes its chains once after each of its starts, and does not look whether they are still there.
    return text(
        "libvirt could not load its firewall rules (%(command)s): %(error)s. If somebody has flushed its chains, it "
        "makes them anew when it restarts: systemctl restart libvirtd (or virtnetworkd). Guests go on running.",
        command=verb.command,
        error=str(error).strip().rstrip("."),
    )
