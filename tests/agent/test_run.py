"""A real `kvmagent run` under the host's real ACL: orders, floods, and a Redis that dies, freezes or is not there."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.agent.enrolled_host import DEFAULT, EnrolledHost, celery_message
from tests.agent.stalling_proxy import StallingProxy
from tests.agent.supervised_agent import SupervisedAgent, awaited
from tests.redis_server import RedisServer
from virtnet.actions import SetNetworkAutostart
from virtnet.channel import PING
from virtnet.messages import AnyReport, FactsReport, OrderRejected

pytestmark = [pytest.mark.waits, pytest.mark.redis]

SOAK = os.environ.get("KVMPANEL_SOAK") == "1"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def enrolled(tmp_path: Path, server: RedisServer) -> EnrolledHost:
    host = uuid4()
    return EnrolledHost(tmp_path, host=host, redis_url=server.add_host(host))


def test_it_tells_that_it_lives_and_what_it_found_at_once(server: RedisServer, enrolled: EnrolledHost) -> None:
    with SupervisedAgent(enrolled, server.client()):
        awaited(lambda: enrolled.told(server.client(), "heartbeat"), 5)
        (facts,) = awaited(lambda: enrolled.told(server.client(), "facts"), 5)
    assert isinstance(facts, FactsReport)
    assert [network.name for network in facts.facts.networks] == ["default"]


def test_its_log_has_no_warnings_when_all_is_well(
    server: RedisServer, enrolled: EnrolledHost, capfd: pytest.CaptureFixture[str]
) -> None:
    with SupervisedAgent(enrolled, server.client()) as agent:
        agent.finished(agent.order(SetNetworkAutostart(network=DEFAULT, autostart=True)))
    log = capfd.readouterr().err
    assert "takes orders" in log
    assert "warn" not in log.lower()


def test_it_carries_out_an_order_reports_each_step_and_needs_no_more_than_its_acl(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    with SupervisedAgent(enrolled, server.client()) as agent:
        order = agent.order(SetNetworkAutostart(network=DEFAULT, autostart=True))
        finished = agent.finished(order)
        kinds = [report.report.kind for report in enrolled.reports(server.client())]
        seqs = [report.seq for report in enrolled.reports(server.client())]
        os.kill(agent.pid, signal.SIGTERM)
        awaited(lambda: agent.starts == 2, 10)
        agent.fresh_nonce()
        assert agent.hears(5) < 5
        assert server.denied() == []
    assert finished.outcome == "applied"
    assert [step.outcome for step in finished.steps] == ["done"]
    assert kinds.index("received") < kinds.index("progress") < kinds.index("finished")
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_five_deliveries_of_each_envelope_shuffled_have_one_effect_each(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    with SupervisedAgent(enrolled, server.client()) as agent:
        nonce = agent.nonce()
        actions = [SetNetworkAutostart(network=DEFAULT, autostart=bool(number % 2)) for number in range(10)]
        orders = [enrolled.order(nonce, action, seq=seq) for seq, action in enumerate(actions, 1)]
        messages = [celery_message(enrolled.sealed(order)) for order in orders] * 5
        random.Random(9).shuffle(messages)
        for message in messages:
            server.client().lpush(enrolled.queue, message)
        for order in orders:
            assert agent.finished(order).outcome == "applied"
        agent.hears(10)
        received = enrolled.told(server.client(), "received")
    assert len(received) == len(orders)


def malformed(number: int) -> bytes:
    """One of the kinds that end a plain Celery worker, or that it never takes an answer from."""
    kinds: list[bytes] = [
        b"no JSON",
        b"5",
        b"[]",
        b"{}",
        b"\xff\xfe\x00",
        b"[" * 20_000,
        json.dumps({"body": "!", "headers": {"task": PING}, "properties": {}}).encode(),
        json.dumps({"body": base64.b64encode(b"[" * 20_000).decode(), "headers": {"task": PING}}).encode(),
        b'{"__type__": "datetime"}',
        celery_message(f"not sealed {number}"),
        celery_message({"a": number}, PING),
        celery_message("x", "celery.map"),
        celery_message("x", "os.system"),
    ]
    return kinds[number % len(kinds)]


@pytest.mark.timeout(900)
def test_malformed_messages_execute_nothing_and_it_consumes_again_within_5_seconds(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    count = 10_000 if SOAK else 500
    with SupervisedAgent(enrolled, server.client()) as agent:
        agent.hears(10)
        for number in range(count):
            server.client().lpush(enrolled.queue, malformed(number))
        awaited(lambda: server.client().llen(enrolled.queue) == 0, 300)
        assert agent.hears(5) < 5
        assert agent.starts == 1
        rejected = enrolled.told(server.client(), "rejected")
        assert {report.reason for report in rejected if isinstance(report, OrderRejected)} == {"malformed"}
        assert len(rejected) < 500
        assert enrolled.told(server.client(), "received") == []


def test_it_waits_for_a_redis_that_is_not_there_yet(server: RedisServer, enrolled: EnrolledHost) -> None:
    server.stop()
    with SupervisedAgent(enrolled, server.client()) as agent:
        awaited(lambda: (enrolled.state / "journal.sqlite3").exists(), 10)
        time.sleep(7)  # long enough for several tries: that is what this test is about
        server.start()
        agent.fresh_nonce(5)
        assert agent.hears(8) < 8
        assert agent.starts == 1


def test_it_takes_the_next_order_within_10_seconds_of_a_redis_that_died_while_an_order_ran(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    with SupervisedAgent(enrolled, server.client(), verb="1.0") as agent:
        for round_number in range(50 if SOAK else 3):
            order = agent.order(SetNetworkAutostart(network=DEFAULT, autostart=bool(round_number % 2)))
            awaited(partial(_received, enrolled, server, order.order), 10)
            server.restart()
            back = time.monotonic()
            following = enrolled.order(agent.nonce(), SetNetworkAutostart(network=DEFAULT, autostart=True))
            agent.give(following)
            assert agent.finished(order, 15).outcome == "applied"
            assert agent.finished(following, 15).outcome == "applied"
            assert time.monotonic() - back < 10
        assert agent.starts == 1


@pytest.mark.timeout(300)
def test_it_consumes_again_within_30_seconds_of_a_redis_that_was_frozen(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    with SupervisedAgent(enrolled, server.client()) as agent:
        agent.hears(10)
        server.freeze()
        time.sleep(60 if SOAK else 12)  # the freeze itself
        server.thaw()
        thawed = time.monotonic()
        agent.fresh_nonce(20)
        agent.hears(30)
        assert time.monotonic() - thawed < 30
        order = agent.order()
        assert agent.finished(order).outcome == "applied"


def test_it_consumes_again_within_30_seconds_of_a_connection_that_went_dead_unnoticed(
    tmp_path: Path, server: RedisServer
) -> None:
    proxy = StallingProxy(server.port)
    host = uuid4()
    url = server.add_host(host).replace(f":{server.port}/", f":{proxy.port}/")
    enrolled = EnrolledHost(tmp_path, host=host, redis_url=url)
    with SupervisedAgent(enrolled, server.client()) as agent:
        agent.hears(10)
        proxy.stall()
        assert agent.hears(30) < 30
        assert agent.starts == 1
    proxy.close()


def test_an_order_that_always_kills_the_agent_is_tried_three_times_and_put_into_quarantine(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    with SupervisedAgent(enrolled, server.client(), verb="kill") as agent:
        order = agent.order()
        finished = agent.finished(order, 30)
        assert finished.outcome == "failed"
        assert "died 3 times" in str(finished.error)
        agent.fresh_nonce()
        assert agent.hears(10) < 10
        assert agent.starts == 4


def test_a_queue_that_waited_while_the_agent_was_down_is_refused_as_stale(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    for seq in range(1, 6):
        message = celery_message(enrolled.sealed(enrolled.order("of the days before", seq=seq)))
        server.client().lpush(enrolled.queue, message)
    with SupervisedAgent(enrolled, server.client()) as agent:
        rejected = awaited(lambda: _all(enrolled.told(server.client(), "rejected"), 5), 10)
        agent.hears(10)
        assert enrolled.told(server.client(), "received") == []
    assert {report.reason for report in rejected if isinstance(report, OrderRejected)} == {"stale-nonce"}


def test_a_host_that_is_pending_tries_on_and_takes_orders_once_it_is_let_in(
    server: RedisServer, enrolled: EnrolledHost
) -> None:
    user = f"kvm-{enrolled.settings.host}"
    server.run("ACL", "SETUSER", user, "off")
    with SupervisedAgent(enrolled, server.client()) as agent:
        awaited(lambda: (enrolled.state / "journal.sqlite3").exists(), 10)
        time.sleep(4)  # refused more than once
        server.run("ACL", "SETUSER", user, "on")
        agent.fresh_nonce(8)
        assert agent.hears(8) < 8
        assert agent.starts == 1


def _received(enrolled: EnrolledHost, server: RedisServer, order: object) -> bool:
    return any(getattr(report, "order", None) == order for report in enrolled.told(server.client(), "received"))


def _all(reports: list[AnyReport], count: int) -> list[AnyReport] | None:
    return reports if len(reports) >= count else None
