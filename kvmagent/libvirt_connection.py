"""The one connection to libvirtd of this process: opened when first needed, opened again when libvirtd comes back.

libvirt's event loop runs from the first opening on: without it there are no events, and no keepalive, so a hung
libvirtd would hang us for ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

import libvirt

from virtnet.text import Text, text

KEEPALIVE_SECONDS = 5  # a libvirtd that answers nothing for three of these is as good as gone
KEEPALIVE_TRIES = 3
OPEN_SECONDS = 10.0  # keepalive begins with the open connection: a libvirtd that hangs keeps `open` waiting for ever

log = logging.getLogger(__name__)

# libvirt prints every error to stderr, also those that are caught and explained, unless it is told otherwise.
libvirt.registerErrorHandler(lambda _context, _error: None, None)


class LibvirtDown(Exception):
    """libvirtd cannot be reached; `text` says so with the remedy."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


class Libvirt:
    """libvirtd at `uri`; safe to use from many threads."""

    def __init__(self, uri: str = "qemu:///system") -> None:
        self.uri = uri
        self._opened: list[Callable[[libvirt.virConnect], None]] = []
        self._closed: list[Callable[[], None]] = []
        self._connection: libvirt.virConnect | None = None
        self._opening: Future[libvirt.virConnect] | None = None
        self._lock = threading.Lock()

    def connection(self) -> libvirt.virConnect:
        """The open connection, after waiting OPEN_SECONDS at most for a new one. Raises LibvirtDown."""
        with self._lock:
            if self._connection is not None and not self._connection.isAlive():
                self._drop()
            if self._connection is not None:
                return self._connection
            if self._opening is None:
                self._opening = Future()
                # A thread of its own, and one at a time: nothing calls it back out of `open`.
                threading.Thread(target=self._open, args=(self._opening,), name="libvirt-open", daemon=True).start()
            opening = self._opening
        try:
            return opening.result(OPEN_SECONDS)
        except TimeoutError as error:
            raise LibvirtDown(
                text(
                    "libvirtd at %(uri)s takes connections and does not answer. Look at its log and restart it, "
                    "e.g. `systemctl restart libvirtd`; running guests go on meanwhile.",
                    uri=self.uri,
                )
            ) from error

    def close(self) -> None:
        with self._lock:
            self._drop()

    def follow(self, opened: Callable[[libvirt.virConnect], None], closed: Callable[[], None]) -> None:
        """`opened` is called with the connection that is there and each new one, `closed` when one has broken.

        From whichever thread found out: they must be quick, and must not call `connection()`.
        """
        with self._lock:
            self._opened.append(opened)
            self._closed.append(closed)
            if self._connection is not None and self._connection.isAlive():
                opened(self._connection)

    def unfollow(self, opened: Callable[[libvirt.virConnect], None], closed: Callable[[], None]) -> None:
        with self._lock:
            self._opened.remove(opened)
            self._closed.remove(closed)

    def _open(self, opening: Future[libvirt.virConnect]) -> None:
        """Ends when libvirtd goes on or goes away; who has stopped waiting finds the connection at the next call."""
        try:
            _run_event_loop()
            connection = libvirt.open(self.uri)
            if connection.getType() != "TEST":  # the test driver lives in this process and knows neither
                connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_TRIES)
                connection.registerCloseCallback(self._on_close, None)
            with self._lock:
                for call in self._opened:
                    call(connection)
                self._connection, self._opening = connection, None
        except libvirt.libvirtError as error:
            with self._lock:
                self._opening = None
            sentence = text(
                "libvirtd does not answer at %(uri)s: %(error)s. Start it, e.g. `systemctl start libvirtd`.",
                uri=self.uri,
                error=str(error).rstrip("."),
            )
            opening.set_exception(LibvirtDown(sentence))
            return
        opening.set_result(connection)

    def _on_close(self, _connection: libvirt.virConnect, reason: int, _opaque: object) -> None:
        if reason == libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT:
            return
        log.warning("libvirtd at %s has closed the connection", self.uri)
        for call in list(self._closed):
            call()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except libvirt.libvirtError as error:  # a connection that is broken already cannot be closed in order
            log.debug("closing the connection to libvirtd: %s", error)


def dotted(version: int) -> str:
    """libvirt's 1000000 * major + 1000 * minor + release, as 9.0.0."""
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


_event_loop_lock = threading.Lock()
_event_loop: threading.Thread | None = None


def _run_event_loop() -> None:
    """Start libvirt's event loop, once for each process and before its first connection."""
    global _event_loop
    with _event_loop_lock:
        if _event_loop is None:
            libvirt.virEventRegisterDefaultImpl()
            _event_loop = threading.Thread(target=_dispatch_events, name="libvirt-events", daemon=True)
            _event_loop.start()


def _dispatch_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
