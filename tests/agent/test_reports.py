"""Reports reach the host's stream: sealed, in order, none lost while Redis is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvmagent.journal import Journal
from kvmagent.nonces import Nonces
from kvmagent.reports import Reports
from tests.agent.enrolled_host import EnrolledHost
from tests.agent.supervised_agent import awaited
from tests.redis_server import RedisServer
from virtnet.facts import HostFacts
from virtnet.messages import FactsReport, Heartbeat, OrderArmed, OrderFinished, OrderRejected

pytestmark = pytest.mark.redis


class Sender:
    """Reports with its thread, to a Redis of its own."""

    def __init__(self, directory: Path, server: RedisServer) -> None:
        host = uuid4()
        url = server.add_host(host)
        self.enrolled = EnrolledHost(directory, host=host, redis_url=url)
        self.server = server
        self.journal = Journal(directory / "journal.sqlite3")
        self.nonces = Nonces()
        self.watched: list[bool] = []
        client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=2, driver_info=None)
        self.reports = Reports(
            self.enrolled.settings, self.enrolled.key, self.journal, self.nonces, client, self.watched.append
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.reports.run, args=(self._stop,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.reports.told()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def connections(self) -> set[str]:
        """By which the host is at Redis now."""
        user = str(self.enrolled.settings.host)
        return {one["id"] for one in self.server.client().client_list() if user in one["user"]}

    def told(self, kind: str) -> list[object]:
        return list(self.enrolled.told(self.server.client(), kind))


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    with RedisServer() as server:
        sender = Sender(tmp_path, server)
        sender.start()
        yield sender
        sender.stop()


def test_the_first_heartbeat_goes_out_at_once_with_a_nonce_that_is_accepted(sender: Sender) -> None:
    (heartbeat,) = awaited(lambda: sender.told("heartbeat"), 3)
    assert isinstance(heartbeat, Heartbeat)
    assert sender.nonces.accepts(heartbeat.nonce)


def test_a_heartbeat_names_the_facts_that_went_before_it(tmp_path: Path) -> None:
    facts = HostFacts(hostname="attic")
    with RedisServer() as server:
        sender = Sender(tmp_path, server)
        sender.reports.facts(FactsReport(facts=facts))
        sender.start()
        (heartbeat,) = awaited(lambda: sender.told("heartbeat"), 5)
        sender.stop()
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.facts_digest == facts.digest()


def test_the_panel_has_a_nonce_of_this_process_before_it_hears_what_became_of_orders(tmp_path: Path) -> None:
    with RedisServer() as server:
        sender = Sender(tmp_path, server)
        # As of an order that was sent with a nonce of the process before this one: with a new one it can go at once.
        sender.journal.refuse(OrderRejected(order=uuid4(), reason="stale-nonce"), tell=True)
        sender.start()
        awaited(lambda: sender.told("rejected"), 5)
        sender.stop()
        kinds = [report.report.kind for report in sender.enrolled.reports(server.client())]
    assert kinds == ["heartbeat", "rejected"]


def test_what_became_of_orders_waits_while_redis_is_away_and_comes_in_order(sender: Sender) -> None:
    awaited(lambda: sender.told("heartbeat"), 3)
    sender.server.kill()
    orders = [sender.enrolled.order("nonce", seq=seq) for seq in range(1, 21)]
    for order in orders:
        sender.journal.receive(order)
        sender.journal.finish(OrderFinished(order=order.order, outcome="applied"))
        sender.reports.told()
    awaited(lambda: False in sender.watched, 5)
    sender.server.start()
    finished = awaited(lambda: _all(sender.told("finished"), 20), 10)
    assert [getattr(report, "order", None) for report in finished] == [order.order for order in orders]
    seqs = [report.seq for report in sender.enrolled.reports(sender.server.client())]
    assert seqs == sorted(set(seqs))
    assert sender.journal.next_report() is None


def test_a_report_of_another_version_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with RedisServer() as server:
        sender = Sender(tmp_path, server)
        order = sender.enrolled.order("nonce")
        sender.journal.receive(order)
        sender.journal._db.execute("UPDATE outbox SET report = '{}'")
        sender.journal.finish(OrderFinished(order=order.order, outcome="applied"))
        sender.start()
        awaited(lambda: sender.told("finished"), 5)
        sender.stop()
        assert sender.told("received") == []


def test_that_a_change_waits_is_told_over_a_new_connection(sender: Sender) -> None:
    awaited(lambda: sender.told("heartbeat"), 3)
    former = sender.connections()
    sender.journal.armed(OrderArmed(order=uuid4(), nonce="drawn", asks="panel", seconds=60))
    sender.reports.told()
    awaited(lambda: sender.told("armed"), 5)
    assert former
    assert not former & sender.connections()


def test_of_a_window_is_told_what_is_left_when_redis_is_back(sender: Sender) -> None:
    awaited(lambda: sender.told("heartbeat"), 3)
    sender.server.kill()
    sender.journal.armed(OrderArmed(order=uuid4(), nonce="drawn", asks="panel", seconds=60))
    begun = time.monotonic()
    sender.reports.told()
    awaited(lambda: False in sender.watched, 5)
    awaited(lambda: time.monotonic() > begun + 1, 5)
    sender.server.start()
    (armed,) = awaited(lambda: sender.told("armed"), 10)
    assert isinstance(armed, OrderArmed)
    assert 60 - (time.monotonic() - begun) - 1 < armed.seconds < 59.5


def test_of_the_facts_only_the_newest_wait_and_the_ping_is_still_answered(sender: Sender) -> None:
    awaited(lambda: sender.told("heartbeat"), 3)
    sender.server.kill()
    ping = uuid4()
    sender.reports.facts(FactsReport(facts=HostFacts(hostname="old"), pong=ping))
    sender.reports.facts(FactsReport(facts=HostFacts(hostname="newest")))
    awaited(lambda: False in sender.watched, 5)
    sender.server.start()
    awaited(lambda: sender.told("facts"), 10)
    assert sender.told("facts") == [FactsReport(facts=HostFacts(hostname="newest"), pong=ping)]


def test_it_tells_the_watchdog_whether_messages_wait(tmp_path: Path) -> None:
    with RedisServer() as server:
        sender = Sender(tmp_path, server)
        server.client().lpush(sender.enrolled.queue, b"waits")
        sender.start()
        awaited(lambda: sender.watched, 5)
        sender.stop()
    assert sender.watched == [True]


def _all(found: list[object], count: int) -> list[object] | None:
    return found if len(found) >= count else None
