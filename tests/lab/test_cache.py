"""What the lab fetches or builds is made once, whoever asks at the same time and whoever was killed before."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_two_who_ask_at_once_get_one_thing() -> None:
    made: list[Path] = []
    begun = threading.Barrier(2)

    def make(place: Path) -> None:
        made.append(place)
        place.write_text("the thing")

    def ask() -> None:
        begun.wait()
        assert cache.once("thing", make).read_text() == "the thing"

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_what_a_killed_builder_left_is_made_anew(tmp_path: Path) -> None:
    killed = """
import os, signal
from lab import cache
def make(place):
    place.mkdir()
    (place / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
cache.once("thing", make)
"""
    died = subprocess.run([sys.executable, "-c", killed], env=dict(os.environ), check=False)
    assert died.returncode == -9
    assert not (cache.directory() / "thing").exists()

    def make(place: Path) -> None:
        place.mkdir()
        (place / "whole").write_text("whole")

    assert [path.name for path in cache.once("thing", make).iterdir()] == ["whole"]
    assert list(cache.directory().glob("part-*")) == []


def test_what_cannot_be_made_is_not_there_afterwards() -> None:
    def fail(place: Path) -> None:
        place.write_text("half")
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        cache.once("thing", fail)
    assert not (cache.directory() / "thing").exists()
    assert cache.once("thing", lambda place: place.mkdir()).is_dir()
