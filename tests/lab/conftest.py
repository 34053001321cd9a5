"""One lab for all tests of a run that need real hosts."""

import os
import re
from collections.abc import Iterator

import pytest

from lab import Lab, LabGuest, LabHost, remove_abandoned
from lab.processes import identify
from tests.lab.product import Product, running


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two hosts with one guest each (off), for all tests of this process. What killed runs left is removed."""
    remove_abandoned(spare=is_of_a_test_that_runs)
    with Lab(prefix=f"t{os.getpid()}", hosts=2, guests_per_host=1) as lab:
        yield lab


def is_of_a_test_that_runs(prefix: str) -> bool:
    """A test that kills the process of its lab is not done with it yet. Tests' prefixes end with their process's id."""
    match = re.fullmatch(r"[a-z]+(\d+)", prefix)
    return match is not None and identify(int(match[1])) is not None


@pytest.fixture(scope="module")
def host(lab: Lab) -> LabHost:
    """The first host of `lab`."""
    return lab.hosts[0]


@pytest.fixture(scope="module")
def guest(host: LabHost) -> Iterator[LabGuest]:
    """Its guest, running while the tests of one file last."""
    guest = host.guests[0]
    guest.start()
    try:
        guest.wait_ready()
        yield guest
    finally:
        guest.destroy()


@pytest.fixture(scope="package")
def product() -> Iterator[Product]:
    """The whole product on two hosts without guests, for the tests of its faults. Their order does not matter."""
    with Lab(prefix=f"p{os.getpid()}", hosts=2, guests_per_host=0) as lab, running(lab) as panel:
        yield Product(lab, panel)
