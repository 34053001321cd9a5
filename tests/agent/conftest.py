"""A network of its own for a test: its links, rules and sysctls vanish with it, this machine's stay untouched."""

import ctypes
import os
from collections.abc import Iterator

import pytest

CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def own_network() -> Iterator[None]:
    """This thread, and the threads and processes that it starts, are in a new network namespace during the test."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("a network namespace needs root")
        pytest.skip("a network namespace needs root")
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _call(_libc.unshare, CLONE_NEWNET)
        yield
    finally:
        _call(_libc.setns, before, CLONE_NEWNET)
        os.close(before)


def _call(function: "ctypes._FuncPointer", *arguments: int) -> None:
    if function(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
