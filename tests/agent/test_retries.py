"""A Redis that is back is found soon: what the agent adds to an outage stays small against it."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from kombu.utils import functional
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvmagent.journal import Journal
from kvmagent.nonces import Nonces
from kvmagent.reports import Reports
from kvmagent.retries import LONGEST_SECONDS, pauses
from kvmagent.worker import Consumer, make_app
from tests.agent.enrolled_host import EnrolledHost
from tests.redis_server import RedisServer
from virtnet.messages import Heartbeat

OUTAGE = 2.0  # seconds that only add up: nobody waits for them


class Refused:
    """A host that Redis lets in once the pauses between its tries make up OUTAGE, as after Redis' own restart."""

    def __init__(self, server: RedisServer, directory: Path) -> None:
        host = uuid4()
        self.enrolled = EnrolledHost(directory, host=host, redis_url=server.add_host(host))
        self.waited = 0.0
        self._server = server
        self._user = f"kvm-{host}"
        server.run("ACL", "SETUSER", self._user, "off")

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        if self.waited >= OUTAGE:
            self._server.run("ACL", "SETUSER", self._user, "on")


@pytest.mark.parametrize(("outage", "most"), [(0.1, 0.2), (2.0, 0.7), (10.0, 1.5), (60.0, 3.0), (86_400.0, 3.0)])
def test_the_first_try_after_an_outage_comes_soon(outage: float, most: float) -> None:
    at = 0.0
    for pause in pauses():
        at += pause
        if at >= outage:
            break
    assert at - outage <= most


def test_a_redis_that_stays_away_is_not_asked_more_often_than_every_3_seconds() -> None:
    assert set(islice(pauses(), 100, 200)) == {LONGEST_SECONDS}


@pytest.mark.redis
def test_orders_are_taken_soon_after_redis_lets_the_host_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer() as server:
        refused = Refused(server, tmp_path)
        monkeypatch.setattr(functional, "sleep", refused.wait)
        consumer = Consumer.__new__(Consumer)
        with make_app(refused.enrolled.settings).connection_for_read() as connection:
            assert consumer.ensure_connected(connection).connected
    assert OUTAGE <= refused.waited < OUTAGE + 0.7


@pytest.mark.redis
def test_reports_go_out_soon_after_redis_lets_the_host_in(tmp_path: Path) -> None:
    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            refused.wait(timeout or 0.0)
            return self.is_set()

    with RedisServer() as server:
        refused, stop = Refused(server, tmp_path), Stop()
        enrolled, journal = refused.enrolled, Journal(tmp_path / "journal.sqlite3")
        client = redis.Redis.from_url(
            enrolled.settings.redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=5, driver_info=None
        )

        def taken(_: bool) -> None:
            if refused.waited >= OUTAGE:
                stop.set()
                reports.told()

        reports = Reports(enrolled.settings, enrolled.key, journal, Nonces(), client, taken)
        reports.run(stop)
        (heartbeat,) = enrolled.told(server.client(), "heartbeat")
    assert isinstance(heartbeat, Heartbeat)
    assert OUTAGE <= refused.waited < OUTAGE + 0.7
