"""One lab for all tests of a run that need real hosts."""

import os
from collections.abc import Iterator

import pytest

from lab import Lab, remove_abandoned


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two hosts with one guest each (off), for all tests of this process. What killed runs left is removed."""
    remove_abandoned()
    with Lab(prefix=f"t{os.getpid()}", hosts=2, guests_per_host=1) as lab:
        yield lab
