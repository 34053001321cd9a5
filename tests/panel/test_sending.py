"""What the worker sends, when, and what it never sends."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from redis import RedisError

from audit.models import AuditEvent, Outcome
from hosts import operations as host_operations
from hosts.broker import nudge, redis_client
from hosts.models import Host, HostStatus
from networks import operations
from networks.models import Change, ChangeState, Network
from networks.reports import record_report
from networks.sending import QUEUE_BOUND, Pipe, Sender
from networks.signing import UnusableKey, load_signer, make_signing_key
from team.models import User
from tests.panel.agent_double import Received, receive, verdicts, waiting
from tests.panel.factories import Agent, arm, nat_spec
from tests.redis_server import RedisServer
from virtnet.channel import CARRY_OUT, PING, VERDICTS, down_prefix
from virtnet.messages import Heartbeat, OrderArmed, OrderFinished, OrderReceived, OrderRejected

pytestmark = [pytest.mark.redis, pytest.mark.django_db]


@pytest.fixture
def sender(panel_redis: RedisServer) -> Sender:
    return Sender(
        Pipe(panel_redis.url, redis_client(panel_redis.url)), load_signer(django_settings.ENVIRONMENT.signing_key)
    )


@pytest.fixture
def change(host: Host, operator: User) -> Change:
    Host.objects.update(pinged_at=timezone.now())
    return operations.define_network(host, nat_spec(), by=operator)


def later(change: Change, seconds: float) -> None:
    """As if the row's times lay `seconds` further back."""
    back = timedelta(seconds=seconds)
    for row in Change.objects.filter(pk=change.pk):
        row.sent_at = row.sent_at - back if row.sent_at else None
        row.heard_at = row.heard_at - back if row.heard_at else None
        row.save()


def orders(server: RedisServer, host: Host) -> list[Received]:
    return [message for message in receive(server, host.pk) if message.task == CARRY_OUT]


def test_an_order_is_signed_and_laid_in_its_host_s_queue(
    sender: Sender, panel_redis: RedisServer, host: Host, silent_host: Host, change: Change
) -> None:
    sender.look()
    change.refresh_from_db()
    assert (change.state, change.sends) == (ChangeState.SENT, 1)
    [message] = receive(panel_redis, host.pk)
    order = message.order()
    assert message.task == CARRY_OUT
    assert (order.order, order.host, order.seq, order.nonce) == (change.pk, host.pk, 1, "nonce-1")
    assert (order.action, order.not_after) == (change.read_action(), change.not_after)
    assert receive(panel_redis, silent_host.pk) == []


def test_it_is_sent_again_with_a_fresh_nonce_until_it_is_received(
    sender: Sender, panel_redis: RedisServer, host: Host, agent: Agent, change: Change
) -> None:
    sender.look()
    sender.look()
    assert len(orders(panel_redis, host)) == 1
    later(change, 3)
    Host.objects.filter(pk=host.pk).update(nonce="nonce-2")
    sender.look()
    [again] = orders(panel_redis, host)
    assert (again.order().order, again.order().nonce) == (change.pk, "nonce-2")
    record_report(host, agent.report(OrderReceived(order=change.pk)))
    later(change, 10)
    sender.look()
    assert orders(panel_redis, host) == []
    later(change, 10)  # nothing was heard of it for too long: the agent answers from its journal
    sender.look()
    assert len(orders(panel_redis, host)) == 1


def test_an_order_that_an_agent_started_anew_has_refused_goes_again_at_once_with_its_nonce(
    sender: Sender, panel_redis: RedisServer, host: Host, agent: Agent, change: Change
) -> None:
    refused = OrderRejected(order=change.pk, reason="stale-nonce")
    sender.look()
    assert len(orders(panel_redis, host)) == 1
    record_report(host, agent.report(refused))
    sender.look()
    assert orders(panel_redis, host) == []  # with the nonce that it has, it would only be refused again
    record_report(host, agent.report(Heartbeat(nonce="nonce-2", facts_digest="")))
    record_report(host, agent.report(refused))
    sender.look()
    [again] = orders(panel_redis, host)
    assert (again.order().order, again.order().nonce) == (change.pk, "nonce-2")
    record_report(host, agent.report(refused))
    sender.look()
    assert orders(panel_redis, host) == []


def test_one_order_at_a_time_in_their_order(
    sender: Sender, panel_redis: RedisServer, host: Host, agent: Agent, change: Change, operator: User
) -> None:
    second = operations.define_network(host, nat_spec("second", number=88), by=operator)
    sender.look()
    assert [message.order().order for message in orders(panel_redis, host)] == [change.pk]
    record_report(host, agent.report(OrderFinished(order=change.pk, outcome="refused")))
    sender.look()
    assert [message.order().order for message in orders(panel_redis, host)] == [second.pk]


def test_nothing_is_sent_without_a_fresh_nonce(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    Host.objects.update(nonce_at=timezone.now() - timedelta(seconds=101))
    sender.look()
    change.refresh_from_db()
    assert change.state == ChangeState.QUEUED
    assert orders(panel_redis, host) == []


def test_what_waited_too_long_expires_with_an_audit_event(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change, operator: User
) -> None:
    behind = operations.define_network(host, nat_spec("behind", number=88), by=operator)
    Change.objects.update(not_after=timezone.now())
    sender.look()
    assert {c.state for c in Change.objects.all()} == {ChangeState.EXPIRED}
    assert orders(panel_redis, host) == []
    for expired in (change, behind):
        assert AuditEvent.objects.filter(change_id=expired.pk, outcome=Outcome.EXPIRED).count() == 1
    assert Network.objects.get(name="office").removed_at is not None


def test_it_is_not_sent_when_who_asked_may_no_longer_change(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change, operator: User
) -> None:
    operator.role_bindings.all().delete()
    sender.look()
    change.refresh_from_db()
    assert change.state == ChangeState.CANCELLED
    assert "olga may no longer" in str(change.read_error())
    assert orders(panel_redis, host) == []


def test_it_is_not_sent_when_the_record_lacks_the_request(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    AuditEvent.objects.filter(change_id=change.pk)._raw_delete("default")
    sender.look()
    change.refresh_from_db()
    assert change.state == ChangeState.CANCELLED
    assert orders(panel_redis, host) == []


def test_a_revoked_host_is_sent_nothing_and_its_changes_end(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change, operator: User
) -> None:
    host_operations.revoke_host(host, by=operator)
    sender.look()
    change.refresh_from_db()
    assert change.state == ChangeState.CANCELLED
    assert receive(panel_redis, host.pk) == []


@pytest.mark.parametrize("state", [ChangeState.QUEUED, ChangeState.RUNNING])
def test_a_change_that_cannot_be_read_holds_nobody_up(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change, operator: User, state: ChangeState
) -> None:
    second = operations.define_network(host, nat_spec("second", number=88), by=operator)
    long_ago = timezone.now() - timedelta(minutes=1)
    unreadable = {"action": "of-a-newer-panel"}
    Change.objects.filter(pk=change.pk).update(action=unreadable, state=state, sent_at=long_ago)
    sender.look()
    assert [message.order().order for message in orders(panel_redis, host)] == [second.pk]


def test_a_queue_that_is_not_emptied_stays_short(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    for _ in range(3 * QUEUE_BOUND):
        sender.look()
        later(change, 3)
    assert waiting(panel_redis, host.pk) == QUEUE_BOUND


def test_a_change_that_was_cancelled_at_the_last_moment_is_not_sent(
    sender: Sender,
    panel_redis: RedisServer,
    host: Host,
    change: Change,
    operator: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cancels_first(pipe: Pipe, of: UUID) -> int:
        operations.cancel_change(change, by=operator)
        return 0

    monkeypatch.setattr(Pipe, "waiting", cancels_first)
    sender.look()
    assert waiting(panel_redis, host.pk) == 0
    change.refresh_from_db()
    assert change.state == ChangeState.CANCELLED


def test_an_emptied_redis_gets_every_open_order_again(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    sender.look()
    panel_redis.run("FLUSHALL")
    later(change, 3)
    sender.look()
    assert [message.order().order for message in orders(panel_redis, host)] == [change.pk]


def test_a_redis_that_is_away_costs_little_and_loses_nothing(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    panel_redis.kill()
    start = time.monotonic()
    with pytest.raises((RedisError, OSError)):
        sender.look()
    assert time.monotonic() - start < 1.5
    panel_redis.start()
    sender.look()
    assert [message.order().order for message in orders(panel_redis, host)] == [change.pk]


def test_a_frozen_redis_is_given_up_on_after_a_second(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    sender.look()
    orders(panel_redis, host)
    later(change, 3)
    panel_redis.freeze()
    start = time.monotonic()
    with pytest.raises((RedisError, OSError)):
        sender.look()
    assert time.monotonic() - start < 2.5
    panel_redis.thaw()
    sender.look()
    assert {message.order().order for message in orders(panel_redis, host)} == {change.pk}


def test_a_host_is_pinged_once_a_minute_and_when_something_is_missing(
    sender: Sender, panel_redis: RedisServer, host: Host
) -> None:
    def pings() -> int:
        sender.look()
        return [message.task for message in receive(panel_redis, host.pk)].count(PING)

    assert pings() == 1
    assert pings() == 0
    Host.objects.update(pinged_at=timezone.now() - timedelta(seconds=3), ping_wanted=True)
    assert pings() == 1
    assert pings() == 0
    Host.objects.update(pinged_at=timezone.now() - timedelta(seconds=61), ping_wanted=False)
    assert pings() == 1


def test_a_host_that_is_not_active_is_not_pinged(sender: Sender, panel_redis: RedisServer, host: Host) -> None:
    Host.objects.update(status=HostStatus.PENDING)
    sender.look()
    assert receive(panel_redis, host.pk) == []


def test_a_nudge_reaches_redis_and_a_missing_redis_is_no_error(panel_redis: RedisServer) -> None:
    for _ in range(150):
        nudge()
    assert panel_redis.run("LLEN", "kvm:panel:nudge") == 100
    panel_redis.kill()
    start = time.monotonic()
    nudge()
    assert time.monotonic() - start < 1
    panel_redis.start()


def test_the_signing_key_is_private_and_never_replaced(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    with pytest.raises(UnusableKey, match="make_signing_key"):
        load_signer(private)
    make_signing_key(private, public)
    assert private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        make_signing_key(private, public)
    private.chmod(0o640)
    with pytest.raises(UnusableKey, match="chmod 600"):
        load_signer(private)


def verdict_told_earlier(change: Change, seconds: float) -> None:
    Change.objects.filter(pk=change.pk).update(verdict_sent_at=timezone.now() - timedelta(seconds=seconds))


def test_a_verdict_is_signed_and_laid_where_the_host_waits_for_it(
    sender: Sender, panel_redis: RedisServer, host: Host, silent_host: Host, change: Change, operator: User
) -> None:
    arm(change)
    sender.look()
    assert verdicts(panel_redis, host.pk) == []
    operations.keep_change(change, by=operator)
    sender.look()
    [verdict] = verdicts(panel_redis, host.pk)
    assert (verdict.order, verdict.host, verdict.verdict, verdict.nonce) == (change.pk, host.pk, "keep", "after-1")
    assert verdicts(panel_redis, silent_host.pk) == []
    assert orders(panel_redis, host) == []


def test_a_verdict_is_repeated_until_the_order_is_finished(
    sender: Sender, panel_redis: RedisServer, host: Host, agent: Agent, change: Change, operator: User
) -> None:
    operations.undo_change(arm(change), by=operator)
    sender.look()
    panel_redis.run("FLUSHALL")
    sender.look()
    assert verdicts(panel_redis, host.pk) == []
    verdict_told_earlier(change, 2)
    sender.look()
    assert [verdict.verdict for verdict in verdicts(panel_redis, host.pk)] == ["undo"]
    record_report(host, agent.report(OrderFinished(order=change.pk, outcome="undone")))
    verdict_told_earlier(change, 2)
    sender.look()
    assert verdicts(panel_redis, host.pk) == []


def test_a_verdict_is_not_told_when_the_window_is_over(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change, operator: User
) -> None:
    operations.keep_change(arm(change), by=operator)
    Change.objects.update(confirm_by=timezone.now())
    sender.look()
    assert verdicts(panel_redis, host.pk) == []


def test_verdicts_that_nobody_takes_do_not_pile_up(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change, operator: User
) -> None:
    operations.keep_change(arm(change), by=operator)
    for _ in range(5):
        verdict_told_earlier(change, 2)
        sender.look()
    key = f"{down_prefix(host.pk)}{VERDICTS}"
    assert panel_redis.run("LLEN", key) == 1
    assert 0 < int(panel_redis.run("TTL", key)) <= 10


def test_a_host_that_armed_itself_anew_is_told_at_once_with_its_new_nonce(
    sender: Sender, panel_redis: RedisServer, host: Host, agent: Agent, change: Change, operator: User
) -> None:
    operations.keep_change(arm(change), by=operator)
    sender.look()
    verdicts(panel_redis, host.pk)
    record_report(host, agent.report(OrderArmed(order=change.pk, nonce="after-2", asks="person", seconds=60)))
    sender.look()
    assert [verdict.nonce for verdict in verdicts(panel_redis, host.pk)] == ["after-2"]


def test_the_panel_s_own_verdict_goes_as_soon_as_the_host_has_armed_itself(
    sender: Sender, panel_redis: RedisServer, host: Host, agent: Agent, change: Change
) -> None:
    Change.objects.update(state=ChangeState.RUNNING, sends=1)
    record_report(host, agent.report(OrderArmed(order=change.pk, nonce="n", asks="panel", seconds=60)))
    sender.look()
    assert [verdict.verdict for verdict in verdicts(panel_redis, host.pk)] == ["keep"]


def test_a_host_that_says_nothing_after_its_window_is_asked_again(
    sender: Sender, panel_redis: RedisServer, host: Host, change: Change
) -> None:
    arm(change)
    later(change, 20)
    sender.look()
    assert orders(panel_redis, host) == []  # it waits for the verdict
    Change.objects.update(confirm_by=timezone.now())
    sender.look()
    assert [message.order().order for message in orders(panel_redis, host)] == [change.pk]
