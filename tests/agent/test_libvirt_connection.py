"""A libvirtd that hangs holds nobody up: the connection is given up in time, and taken when libvirtd goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmagent import libvirt_connection
from kvmagent.libvirt_connection import Libvirt, LibvirtDown

pytestmark = pytest.mark.usefixtures("waits_half_a_second")


@pytest.fixture
def waits_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_connection, "OPEN_SECONDS", 0.5)


@pytest.fixture
def silent_libvirtd(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Takes connections and never answers, as one that hangs or is stopped: (its URI, its socket)."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "libvirt.sock"))
        server.listen()
        yield f"qemu+unix:///system?socket={tmp_path}/libvirt.sock", server


def test_a_libvirtd_that_does_not_answer_is_given_up_in_time(silent_libvirtd: tuple[str, socket.socket]) -> None:
    uri, _ = silent_libvirtd
    libvirt = Libvirt(uri)
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(LibvirtDown, match="does not answer"):
            libvirt.connection()
    assert time.monotonic() - begun < 5
    opening = [thread for thread in threading.enumerate() if thread.name == "libvirt-open"]
    assert len(opening) == 1, "the second call waits for the same opening"


def test_a_libvirtd_that_goes_away_while_it_is_opened_is_told_as_away(
    silent_libvirtd: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_connection, "OPEN_SECONDS", 30)
    uri, server = silent_libvirtd
    threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
    with pytest.raises(LibvirtDown, match="Start it"):
        Libvirt(uri).connection()


def test_after_a_failure_the_next_call_opens_anew(tmp_path: Path) -> None:
    libvirt = Libvirt(f"qemu+unix:///system?socket={tmp_path}/none.sock")
    with pytest.raises(LibvirtDown):
        libvirt.connection()
    libvirt.uri = "test:///default"
    assert libvirt.connection().getType() == "TEST"
    assert libvirt.connection() is libvirt.connection()
