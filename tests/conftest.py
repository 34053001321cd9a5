"""What all tests share: where the lab's tests run, and where they must."""

import os

import pytest

from lab import LabError, prerequisites


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
