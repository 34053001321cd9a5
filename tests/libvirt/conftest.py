"""libvirt's own test driver: a whole hypervisor in memory, so that what the panel writes meets libvirt's parser."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt
import pytest


@pytest.fixture
def driver() -> Iterator[libvirt.virConnect]:
    """A connection to `test:///default`, left as it was found: all tests of a process share the driver's memory."""
    # libvirt prints each error on stderr beside raising it.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.open("test:///default")
    networks = {network.UUIDString() for network in connection.listAllNetworks()}
    domains = {domain.UUIDString() for domain in connection.listAllDomains()}
    yield connection
    for network in connection.listAllNetworks():
        if network.UUIDString() not in networks:
            if network.isActive():
                network.destroy()
            network.undefine()
    for domain in connection.listAllDomains():
        if domain.UUIDString() not in domains:
            domain.undefine()
    connection.close()
