"""Orders of the panel and `kvmagent apply` take turns."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kvmagent.alone import alone


def test_the_second_waits_until_the_first_has_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path))
    told: list[str] = []
    second_wants = threading.Event()

    def second() -> None:
        second_wants.set()
        with alone():
            told.append("second")

    thread = threading.Thread(target=second)
    with alone():
        thread.start()
        second_wants.wait(10)
        thread.join(0.2)
        assert thread.is_alive(), "the second did not wait"
        told.append("first")
    thread.join(10)
    assert told == ["first", "second"]
