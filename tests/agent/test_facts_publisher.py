"""Facts go out when they differ from the last ones, or when the panel asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import Empty, Queue
from uuid import uuid4

import pytest

from kvmagent.facts_publisher import FactsPublisher
from virtnet.facts import HostFacts
from virtnet.messages import FactsReport


class Published:
    def __init__(self) -> None:
        self.hostname = "attic"
        self.slowness = 0.0  # seconds that a reading takes
        self.readings: Queue[str] = Queue()
        self.reports: Queue[FactsReport] = Queue()
        self.publisher = FactsPublisher(self._read, self.reports.put)

    def _read(self) -> HostFacts:
        self.readings.put(self.hostname)
        time.sleep(self.slowness)
        if self.hostname == "unreadable":
            raise ZeroDivisionError("a defect")
        return HostFacts(hostname=self.hostname)


@pytest.fixture
def published() -> Iterator[Published]:
    published = Published()
    stop = threading.Event()
    thread = threading.Thread(target=published.publisher.run, args=(stop,))
    thread.start()
    yield published
    stop.set()
    published.publisher.changed()
    thread.join(5)
    assert not thread.is_alive()


def test_they_go_out_once_at_the_start(published: Published) -> None:
    assert published.reports.get(timeout=2).facts.hostname == "attic"


def test_a_change_goes_out_within_two_seconds(published: Published) -> None:
    published.reports.get(timeout=2)
    published.hostname = "cellar"
    published.publisher.changed()
    assert published.reports.get(timeout=2).facts.hostname == "cellar"


def test_facts_that_are_the_same_do_not_go_out_again(published: Published) -> None:
    published.reports.get(timeout=2)
    published.readings.get(timeout=2)
    published.publisher.changed()
    published.readings.get(timeout=2)
    with pytest.raises(Empty):
        published.reports.get(timeout=0.2)


def test_a_slow_reading_is_followed_by_as_long_a_pause(published: Published) -> None:
    published.reports.get(timeout=2)
    published.slowness = 1.0
    published.hostname = "cellar"
    published.publisher.changed()
    published.reports.get(timeout=4)
    read = time.monotonic()
    published.hostname = "attic"
    published.publisher.changed()
    published.reports.get(timeout=6)
    assert time.monotonic() - read > 1.9  # the pause, and the reading


def test_a_ping_gets_them_though_nothing_changed(published: Published) -> None:
    published.reports.get(timeout=2)
    ping = uuid4()
    published.publisher.asked(ping)
    assert published.reports.get(timeout=2).pong == ping


def test_facts_that_could_not_be_read_are_read_again_at_the_next_change(published: Published) -> None:
    published.reports.get(timeout=2)
    published.readings.get(timeout=2)
    published.hostname = "unreadable"
    published.publisher.changed()
    assert published.readings.get(timeout=2) == "unreadable"
    published.hostname = "cellar"
    published.publisher.changed()
    assert published.reports.get(timeout=2).facts.hostname == "cellar"
