"""One lab for all tests of a run that need real hosts."""

import os
from collections.abc import Iterator

import pytest

from lab import Lab, LabError, prerequisites, remove_abandoned


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without root or a needed program the lab's tests are skipped with the reason; in CI they fail."""
    if item.get_closest_marker("lab") is None:
        return
    try:
        prerequisites.check()
    except LabError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two hosts with one guest each (off), for all tests of this process. What killed runs left is removed."""
    remove_abandoned()
    with Lab(prefix=f"t{os.getpid()}", hosts=2, guests_per_host=1) as lab:
        yield lab
