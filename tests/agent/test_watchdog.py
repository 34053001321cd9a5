"""A process that hears nothing although messages wait is ended; one with a silent panel is not."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kvmagent.watchdog import EXIT_STATUS, LONGEST_ORDER_SECONDS, UNHEARD_SECONDS, Watchdog, notify_systemd


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(clock)


def test_a_silent_panel_never_ends_the_agent(watchdog: Watchdog, clock: Clock) -> None:
    for _ in range(1000):
        clock.seconds += 10
        assert watchdog.seen(waiting=False) is None


def test_messages_that_nobody_takes_end_it(watchdog: Watchdog, clock: Clock) -> None:
    assert watchdog.seen(waiting=True) is None
    clock.seconds += UNHEARD_SECONDS
    assert watchdog.seen(waiting=True) is None
    clock.seconds += 1
    assert watchdog.seen(waiting=True) == "messages have waited for 60 s and the worker takes none"


def test_messages_that_are_taken_one_by_one_do_not(watchdog: Watchdog, clock: Clock) -> None:
    for _ in range(100):
        clock.seconds += 10
        assert watchdog.seen(waiting=True) is None
        with watchdog.at_work():
            pass


def test_messages_may_wait_behind_a_running_order_but_not_for_ever(watchdog: Watchdog, clock: Clock) -> None:
    with watchdog.at_work():
        clock.seconds += LONGEST_ORDER_SECONDS
        assert watchdog.seen(waiting=True) is None
        clock.seconds += 1
        assert watchdog.seen(waiting=True) == "one order has taken longer than 900 s"


def test_a_redis_that_was_away_starts_the_count_anew(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.seen(waiting=True)
    clock.seconds += 50
    watchdog.seen(waiting=False)
    clock.seconds += 50
    assert watchdog.seen(waiting=True) is None


def test_it_ends_the_whole_process_with_a_status_of_its_own() -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from kvmagent.watchdog import Watchdog\n"
            "clock = iter([0.0, 61.0])\n"
            "watchdog = Watchdog(lambda: next(clock))\n"
            "watchdog.check(waiting=True)\n"
            "watchdog.check(waiting=True)\n",
        ],
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == EXIT_STATUS


def test_a_thread_of_the_watch_that_fails_ends_the_whole_process() -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import threading\n"
            "from kvmagent.libvirt_connection import Libvirt\n"
            "from kvmagent.watch import Watch\n"
            "from kvmagent.watchdog import end_with_any_thread\n"
            "class OutOfWatches(Watch):\n"
            "    def _follow_kernel(self):\n"
            "        raise OSError(28, 'No space left on device')\n"
            "end_with_any_thread()\n"
            "OutOfWatches(Libvirt('test:///default'), lambda: None).start()\n"
            "threading.Event().wait(20)\n",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == EXIT_STATUS
    assert "No space left on device" in ended.stderr


def test_systemd_is_told_where_it_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify_systemd("READY=1")
        assert systemd.recv(100) == b"READY=1"
        Watchdog().check(waiting=False)
        assert systemd.recv(100) == b"WATCHDOG=1"
