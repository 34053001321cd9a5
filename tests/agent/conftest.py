"""A state directory and a network of its own for a test: links, rules and sysctls go with it; this machine's stay."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's files of a test are its own; /var/lib/kvmagent belongs to an agent of this machine."""
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path / "state"))


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
