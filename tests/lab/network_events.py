"""What libvirtd itself says was done, whatever the agent and the panel say."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import libvirt

from lab import LabHost

DEFINED = libvirt.VIR_NETWORK_EVENT_DEFINED
UNDEFINED = libvirt.VIR_NETWORK_EVENT_UNDEFINED

Happened = Counter[tuple[int, str]]  # (DEFINED or UNDEFINED, name of the network) -> how often


@contextmanager
def network_events(host: LabHost) -> Iterator[Happened]:
    """Counts every network that is defined or undefined on a host, while its libvirtd runs."""
    _run_event_loop()
    seen: Happened = Counter()

    def happened(_: object, network: libvirt.virNetwork, event: int, detail: int, opaque: object) -> None:
        seen[event, network.name()] += 1

    connection = host.libvirt()
    registered = connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, happened, None)
    try:
        yield seen
    finally:
        connection.networkEventDeregisterAny(registered)
        connection.close()


def twice(seen: Happened) -> dict[str, int]:
    """The networks that were defined or undefined more than once."""
    return {name: count for (event, name), count in seen.items() if event in (DEFINED, UNDEFINED) and count > 1}


@cache
def _run_event_loop() -> None:
    """libvirt's, once for the process: a connection needs it for as long as it lives, and it cannot be ended."""
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt-events", daemon=True).start()
