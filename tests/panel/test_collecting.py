"""The collector takes every good report once, whatever else lies in the streams, and never stops."""

from __future__ import annotations

import base64
import json
import os
import random
from uuid import uuid4

import pytest
from django.db import OperationalError
from redis import RedisError

from audit.models import AuditEvent
from hosts.broker import redis_client
from hosts.models import Host, HostStatus
from networks import operations, reports
from networks.collecting import Collector
from networks.models import Change, ChangeState, Network
from team.models import User
from tests.panel.agent_double import append, report
from tests.panel.factories import Agent, host_facts, make_host, nat_spec
from tests.redis_server import RedisServer
from virtnet.channel import STREAM_MAXLEN, up_stream
from virtnet.envelope import LARGEST, seal
from virtnet.facts import NetworkFacts
from virtnet.messages import FactsReport, Heartbeat, OrderFinished, OrderReceived

pytestmark = [pytest.mark.redis, pytest.mark.django_db]

MALFORMED = 10_000 if os.environ.get("KVMPANEL_SOAK") else 1_500


@pytest.fixture
def collector(panel_redis: RedisServer) -> Collector:
    return new_collector(panel_redis)


def new_collector(server: RedisServer) -> Collector:
    return Collector(redis_client(server.url), redis_client(server.url, block=1), wait_seconds=0.05)


def beat(nonce: str) -> Heartbeat:
    return Heartbeat(nonce=nonce, facts_digest=host_facts().digest())


def take_all(collector: Collector, server: RedisServer, host: Host) -> Host:
    """Turns until the stream is empty; the host's row then."""
    for _ in range(2000):
        collector.turn()
        if not server.run("XLEN", up_stream(host.pk)):
            break
    host.refresh_from_db()
    return host


def reasons() -> list[str]:
    return [str(event.detail["why"]) for event in AuditEvent.objects.filter(action="bad-report")]


def test_reports_are_taken_in_order_and_then_trimmed(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent, operator: User
) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    Change.objects.update(state=ChangeState.SENT, sends=1)
    finished = OrderFinished(order=change.pk, outcome="applied")
    report(panel_redis, agent, beat("n-1"), OrderReceived(order=change.pk), finished, beat("n-2"))
    take_all(collector, panel_redis, host)
    change.refresh_from_db()
    assert (change.state, host.nonce, host.report_seq) == (ChangeState.APPLIED, "n-2", 4)
    assert panel_redis.run("XLEN", up_stream(host.pk)) == 0


def test_a_collector_that_starts_anew_goes_on_where_the_database_stands(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    report(panel_redis, agent, beat("n-1"))
    take_all(collector, panel_redis, host)
    report(panel_redis, agent, beat("n-2"))
    assert take_all(new_collector(panel_redis), panel_redis, host).nonce == "n-2"


def test_a_defect_of_ours_with_one_host_s_facts_keeps_no_other_host_from_being_heard(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Agent(uuid4())
    make_host("odd", agent=odd)

    def defect(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(reports, "note_facts", defect)
    report(panel_redis, odd, FactsReport(facts=host_facts()))
    report(panel_redis, agent, beat("n-1"))
    assert take_all(collector, panel_redis, host).nonce == "n-1"
    assert reasons() == ["ZeroDivisionError: a defect"]


def hostile(host: Host, agent: Agent, number: int) -> str | bytes:
    """One of many kinds of bad reports, with good looks where it can."""
    dice = random.Random(number)
    good = agent.sealed(agent.report(beat("evil"), seq=1000 + number))
    envelope = json.loads(good)
    stranger = Agent(host.pk)
    other_host = Agent(uuid4(), key=agent.key)
    kinds: list[str | bytes] = [
        b"",
        b"\xff\xfe\x00",
        "null",
        "[]",
        "1e999",
        "9" * 5000,
        "[" * 20_000,
        '{"purpose":' * 5_000,
        good[: dice.randrange(len(good) - 1)],
        stranger.sealed(stranger.report(beat("evil"), seq=1000 + number)),
        other_host.sealed(other_host.report(beat("evil"), seq=1000 + number)),
        json.dumps(envelope | {"purpose": "order"}),
        json.dumps(envelope | {"signature": "!!!"}),
        json.dumps(envelope | {"signature": base64.b64encode(bytes(64)).decode()}),
        json.dumps(envelope | {"body": envelope["body"].replace("evil", "worse")}),
        json.dumps(envelope | {"body": "{}"}),
        json.dumps(envelope | {"extra": 1}),
        json.dumps(envelope | {"key": "0" * 64}),
        seal(agent.report(beat("evil"), seq=1000 + number), "order", key="host", sign=agent.key.sign),
        agent.sealed(agent.report(beat("x" * 101), seq=1000 + number)),
        agent.sealed(agent.report(beat("evil"), seq=2**63 + number)),
    ]
    flipped = bytearray(good.encode())
    flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
    return [*kinds, bytes(flipped)][number % (len(kinds) + 1)]


def test_thousands_of_bad_reports_change_nothing_and_stop_nothing(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    other_agent = Agent(uuid4())
    other = make_host("kvm2", agent=other_agent)
    pipeline = panel_redis.client().pipeline(transaction=False)
    for number in range(MALFORMED):
        pipeline.xadd(up_stream(host.pk), {"report": hostile(host, agent, number)})
    pipeline.xadd(up_stream(host.pk), {"something": "else"})
    pipeline.execute()
    report(panel_redis, other_agent, beat("other"))
    collector.turn()
    other.refresh_from_db()
    assert other.nonce == "other"  # nobody waits for the bad host's heap
    report(panel_redis, agent, beat("good"))
    take_all(collector, panel_redis, host)
    assert (host.nonce, host.report_seq) == ("good", 1)
    assert len(reasons()) == 20


def test_facts_that_the_database_cannot_hold_are_dropped(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    odd = NetworkFacts(name="nul\0", uuid=uuid4(), active=True, mode="nat", xml="\0")
    report(panel_redis, agent, FactsReport(facts=host_facts(networks=(odd,))), beat("after"))
    assert take_all(collector, panel_redis, host).nonce == "after"


def test_a_report_of_four_megabytes_and_more_is_dropped(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    append(panel_redis, host.pk, b"x" * (LARGEST + 1))
    report(panel_redis, agent, beat("after"))
    assert take_all(collector, panel_redis, host).nonce == "after"
    assert "larger" in reasons()[0]


def test_a_replayed_stream_changes_nothing(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    old, new = (agent.sealed(agent.report(beat(nonce))) for nonce in ("old", "new"))
    for sealed in (old, new, old, old):
        append(panel_redis, host.pk, sealed)
    take_all(collector, panel_redis, host)
    assert (host.nonce, host.report_seq) == ("new", 2)


def test_another_host_s_report_in_a_host_s_stream_is_refused(
    collector: Collector, panel_redis: RedisServer, host: Host
) -> None:
    other_agent = Agent(uuid4())
    other = make_host("kvm2", agent=other_agent)
    append(panel_redis, host.pk, other_agent.sealed(other_agent.report(beat("evil"))))
    take_all(collector, panel_redis, host)
    other.refresh_from_db()
    assert (host.nonce, other.nonce) == ("nonce-1", "nonce-1")
    assert "InvalidSignature" in reasons()[0]


@pytest.mark.parametrize("status", [HostStatus.WAITING, HostStatus.PENDING, HostStatus.REVOKED])
def test_a_host_that_is_not_active_is_not_listened_to(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent, status: HostStatus
) -> None:
    Host.objects.update(status=status)
    report(panel_redis, agent, beat("n-1"))
    collector.turn()
    host.refresh_from_db()
    assert host.nonce == "nonce-1"


def test_reports_wait_while_the_database_is_away(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(panel_redis, agent, beat("n-1"), beat("n-2"))
    with monkeypatch.context() as away:
        away.setattr("networks.collecting.record_report", _raise(OperationalError("server closed the connection")))
        with pytest.raises(OperationalError):
            collector.turn()
    assert panel_redis.run("XLEN", up_stream(host.pk)) == 2
    take_all(collector, panel_redis, host)
    assert (host.nonce, host.report_seq) == ("n-2", 2)


def test_a_redis_that_was_away_is_read_on(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    report(panel_redis, agent, beat("n-1"))
    take_all(collector, panel_redis, host)
    panel_redis.kill()
    with pytest.raises((RedisError, OSError)):
        collector.turn()
    panel_redis.start()
    report(panel_redis, agent, beat("n-2"))
    assert take_all(collector, panel_redis, host).nonce == "n-2"


def test_an_emptied_redis_whose_ids_begin_anew_is_read(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    panel_redis.run("XADD", up_stream(host.pk), "99999999999999-1", "report", agent.sealed(agent.report(beat("n-1"))))
    take_all(collector, panel_redis, host)
    panel_redis.run("FLUSHALL")
    report(panel_redis, agent, beat("n-2"))
    assert take_all(new_collector(panel_redis), panel_redis, host).nonce == "n-2"


def test_a_host_that_names_its_own_ids_does_not_reach_the_future(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    last = f"{2**64 - 1}-{2**64 - 1}"
    panel_redis.run("XADD", up_stream(host.pk), last, "report", agent.sealed(agent.report(beat("n-1"))))
    take_all(collector, panel_redis, host)
    assert host.nonce == "n-1"
    assert not host.is_silent


def test_an_old_heartbeat_does_not_make_a_host_look_alive(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    panel_redis.run("XADD", up_stream(host.pk), "1600000000000-0", "report", agent.sealed(agent.report(beat("old"))))
    assert take_all(collector, panel_redis, host).is_silent


def test_a_stream_that_grows_without_end_is_cut(panel_redis: RedisServer, host: Host) -> None:
    pipeline = panel_redis.client().pipeline(transaction=False)
    for _ in range(2 * STREAM_MAXLEN + 1):
        pipeline.xadd(up_stream(host.pk), {"report": "x"})
    pipeline.execute()
    new_collector(panel_redis).turn()
    assert panel_redis.run("XLEN", up_stream(host.pk)) <= STREAM_MAXLEN
    assert any("were cut" in reason for reason in reasons())


def test_facts_with_hundreds_of_guests_and_networks_are_taken(
    collector: Collector, panel_redis: RedisServer, host: Host, agent: Agent
) -> None:
    one = NetworkFacts(name="net", uuid=uuid4(), active=True, mode="nat", xml="x" * 5000)
    many = tuple(one.model_copy(update={"name": f"net-{n}", "uuid": uuid4()}) for n in range(300))
    report(panel_redis, agent, FactsReport(facts=host_facts(networks=many)))
    take_all(collector, panel_redis, host)
    assert Network.objects.filter(host=host, removed_at=None, facts__isnull=False).count() == 300


def _raise(error: Exception) -> object:
    def raises(*args: object, **kwargs: object) -> None:
        raise error

    return raises
