"""One action at a time on this host, whoever asks: the panel's orders and a person's `kvmagent apply` take turns.

Two at once would each replace the whole firewall table with what only one of them knows.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from kvmagent import settings


@contextmanager
def alone() -> Iterator[None]:
    """Waits for its turn. Raises PermissionError for somebody who may not write the agent's state directory."""
    with _lock() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_if_free() -> Iterator[bool]:
    """Whether it is alone now; False, without waiting, while somebody else has his turn. Raises as alone."""
    with _lock() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _lock() -> TextIO:
    directory = settings.state()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return (directory / "carry_out.lock").open("w")
