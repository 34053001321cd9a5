"""The loop of the worker and the collector outlives what it stands on."""

from __future__ import annotations

import logging
import time

import pytest
import redis
from django.db import InterfaceError, OperationalError

from networks.loop import Loop

AWAY = [
    redis.ConnectionError("gone"),
    redis.TimeoutError("slow"),
    OSError("reset"),
    OperationalError("gone"),
    InterfaceError("closed"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_it_goes_on_when_what_was_away_is_back_and_says_each_once(
    error: Exception, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    calls = 0

    def turn() -> None:
        nonlocal calls
        calls += 1
        if 2 <= calls <= 4:
            raise error
        if calls == 6:
            loop.stop()

    loop = Loop(turn, name="worker")
    start = time.monotonic()
    loop.run()
    assert calls == 6
    assert time.monotonic() - start < 2
    messages = [record.getMessage() for record in caplog.records if record.name == "networks.loop"]
    assert len(messages) == 2
    assert "is away" in messages[0]
    assert "back" in messages[1]


def test_a_mistake_in_the_program_is_not_hidden() -> None:
    def turn() -> None:
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        Loop(turn, name="worker").run()
