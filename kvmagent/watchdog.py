"""Ends a process that looks alive and hears nothing, so that systemd starts a fresh one.

A consumer can hang while heartbeats still go out. The proof is in Redis: messages (the panel's pings come every 60 s)
wait in this host's queue and nobody takes them. A silent panel is no such proof, so it never restarts an agent.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UNHEARD_SECONDS = 60.0  # this long may a message wait while the worker has nothing to do
LONGEST_ORDER_SECONDS = 900.0  # an order that takes longer hangs, e.g. in a call of libvirt

EXIT_STATUS = 75  # EX_TEMPFAIL of sysexits.h

log = logging.getLogger(__name__)


class Watchdog:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._working_since: float | None = None
        self._waiting_since: float | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around everything that the worker does for a message: proof that the consumer hears."""
        with self._lock:
            self._working_since = self._clock()
            self._waiting_since = None
        try:
            yield
        finally:
            with self._lock:
                self._working_since = None

    def seen(self, *, waiting: bool) -> str | None:
        """Told every few seconds whether messages wait in the queue; why the process must end, or None."""
        now = self._clock()
        with self._lock:
            if self._working_since is not None:
                self._waiting_since = None
                if now - self._working_since > LONGEST_ORDER_SECONDS:
                    return f"one order has taken longer than {LONGEST_ORDER_SECONDS:.0f} s"
                return None
            if not waiting:
                self._waiting_since = None
            elif self._waiting_since is None:
                self._waiting_since = now
            elif now - self._waiting_since > UNHEARD_SECONDS:
                return f"messages have waited for {UNHEARD_SECONDS:.0f} s and the worker takes none"
        return None

    def check(self, *, waiting: bool) -> None:
        """Feeds systemd's watchdog, or ends the process with status 75."""
        reason = self.seen(waiting=waiting)
        if reason is None:
            notify_systemd("WATCHDOG=1")
            return
        log.critical("ending: %s", reason)
        # Not sys.exit: the thread that hangs would never come to the end. The journal survives, as it survives SIGKILL.
        os._exit(EXIT_STATUS)


def end_with_any_thread() -> None:
    """From now on a thread that fails, be it libvirt's event loop, ends the process: without it the agent would look
    alive and see or hear nothing."""

    def end(failed: threading.ExceptHookArgs) -> None:
        log.critical("ending: the thread %s failed", failed.thread and failed.thread.name, exc_info=failed.exc_value)
        os._exit(EXIT_STATUS)

    threading.excepthook = end


def notify_systemd(state: str) -> None:
    """sd_notify(3), where systemd asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
        except OSError as error:
            log.warning("systemd does not take %s: %s", state, error)
