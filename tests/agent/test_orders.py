"""What the agent does with a sealed order: once, or not at all."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kvmagent.carry_out import Finished
from kvmagent.guard_verbs import Confirmation
from kvmagent.journal import Journal
from kvmagent.nonces import Nonces
from kvmagent.orders import TRIES, Orders
from tests.agent.enrolled_host import EnrolledHost
from virtnet.actions import AnyAction
from virtnet.messages import Order, OrderFinished, OrderReceived, OrderRejected, Step
from virtnet.text import text

DAYS_3 = 3 * 86_400.0


class Agent:
    """Orders on a journal of its own; actions are counted, clocks are set by the test."""

    def __init__(self, directory: Path) -> None:
        self.enrolled = EnrolledHost(directory)
        self.boot_seconds = 1000.0
        self.now = datetime.now(UTC)
        self.done: list[AnyAction] = []
        self.befores: list[str | None] = []
        self.pings: list[UUID] = []
        self.journal = Journal(directory / "state" / "journal.sqlite3")
        self.nonces = Nonces(lambda: self.boot_seconds)
        self.orders = Orders(
            self.enrolled.settings,
            self.journal,
            self.nonces,
            self._carry_out,
            told=lambda: None,
            asked=self.pings.append,
            verdicts=lambda: iter(()),
            now=lambda: self.now,
        )

    def _carry_out(
        self,
        action: AnyAction,
        note: Callable[[Step], None],
        *,
        found: Callable[[str], None],
        before: str | None,
        confirmation: Confirmation,
    ) -> Finished:
        self.befores.append(before)
        found("<network/>")
        self.done.append(action)
        note(Step(text=text("Done."), outcome="done"))
        return Finished(outcome="applied", before="<network/>", after="<network autostart='yes'/>")

    def told(self) -> list[OrderReceived | OrderFinished | OrderRejected]:
        """The reports that wait, progress aside, taken out of the outbox."""
        kinds: dict[str, type[OrderReceived | OrderFinished | OrderRejected]] = {
            "received": OrderReceived,
            "finished": OrderFinished,
            "rejected": OrderRejected,
        }
        found: list[OrderReceived | OrderFinished | OrderRejected] = []
        while waiting := self.journal.next_report():
            kind = json.loads(waiting.report)["kind"]
            if kind in kinds:
                found.append(kinds[kind].model_validate_json(waiting.report))
            self.journal.delivered(waiting)
        return found

    def give(self, order: Order) -> None:
        self.orders.receive(self.enrolled.sealed(order))

    def reasons(self) -> list[str]:
        return [report.reason for report in self.told() if isinstance(report, OrderRejected)]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_it_carries_out_a_good_order_and_reports_it(agent: Agent) -> None:
    order = agent.enrolled.order(agent.nonces.fresh())
    agent.give(order)
    assert agent.done == [order.action]
    received, finished = agent.told()
    assert received == OrderReceived(order=order.order)
    assert isinstance(finished, OrderFinished)
    assert (finished.order, finished.outcome, len(finished.steps)) == (order.order, "applied", 1)
    assert (finished.before, finished.after) == ("<network/>", "<network autostart='yes'/>")


def test_it_refuses_the_signature_of_another_key_and_does_not_repeat_what_it_claims(agent: Agent) -> None:
    order = agent.enrolled.order(agent.nonces.fresh())
    agent.orders.receive(agent.enrolled.sealed(order, Ed25519PrivateKey.generate()))
    assert agent.told() == [OrderRejected(order=None, reason="signature")]
    assert agent.done == []


def test_it_refuses_an_order_for_another_host(agent: Agent) -> None:
    order = agent.enrolled.order(agent.nonces.fresh(), host=uuid4())
    agent.give(order)
    assert agent.told() == [OrderRejected(order=order.order, reason="other-host")]
    assert agent.done == []


def test_it_refuses_a_nonce_that_it_never_published(agent: Agent) -> None:
    agent.nonces.fresh()
    agent.give(agent.enrolled.order("made-up"))
    assert agent.reasons() == ["stale-nonce"]
    assert agent.done == []


def test_it_refuses_a_nonce_after_120_seconds(agent: Agent) -> None:
    nonce = agent.nonces.fresh()
    agent.boot_seconds += 119.9
    agent.give(agent.enrolled.order(nonce))
    agent.boot_seconds += 0.2
    agent.give(agent.enrolled.order(nonce))
    assert agent.reasons() == ["stale-nonce"]
    assert len(agent.done) == 1


def test_it_refuses_an_order_past_its_time(agent: Agent) -> None:
    agent.now += timedelta(minutes=25, seconds=5)
    agent.give(agent.enrolled.order(agent.nonces.fresh()))
    assert agent.reasons() == ["too-old"]
    assert agent.done == []


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_ten_minutes_wrong_stops_no_good_order(agent: Agent, minutes: int) -> None:
    agent.now += timedelta(minutes=minutes)
    agent.give(agent.enrolled.order(agent.nonces.fresh()))
    assert len(agent.done) == 1


@pytest.mark.parametrize(
    "sealed",
    ["", "null", "[]", "{}", '{"purpose": "order"}', "[" * 20_000, "\ud800", None, 5, [], {"purpose": "order"}],
    ids=repr,
)
def test_it_refuses_what_is_no_envelope(agent: Agent, sealed: object) -> None:
    agent.orders.receive(sealed)
    assert agent.reasons() == ["malformed"]


def test_it_refuses_a_signed_report_and_a_signed_ping_as_an_order(agent: Agent) -> None:
    agent.orders.receive(agent.enrolled.sealed(agent.enrolled.ping(agent.nonces.fresh())))
    sealed = json.loads(agent.enrolled.sealed(agent.enrolled.order(agent.nonces.fresh())))
    agent.orders.receive(json.dumps({**sealed, "purpose": "report"}))
    assert agent.reasons() == ["malformed", "malformed"]
    assert agent.done == []


def test_a_good_ping_asks_for_the_facts_and_a_stale_one_does_not(agent: Agent) -> None:
    ping = agent.enrolled.ping(agent.nonces.fresh())
    agent.orders.ping(agent.enrolled.sealed(ping))
    agent.orders.ping(agent.enrolled.sealed(agent.enrolled.ping("stale")))
    assert agent.pings == [ping.ping]
    assert agent.reasons() == ["stale-nonce"]


def test_five_deliveries_of_each_envelope_shuffled_have_one_effect_each(agent: Agent) -> None:
    nonce = agent.nonces.fresh()
    orders = [agent.enrolled.order(nonce, seq=seq) for seq in range(1, 41)]
    envelopes = [agent.enrolled.sealed(order) for order in orders] * 5
    random.Random(9).shuffle(envelopes)
    for envelope in envelopes:
        agent.orders.receive(envelope)
    assert len(agent.done) == 40
    finished = [report for report in agent.told() if isinstance(report, OrderFinished)]
    assert {report.order for report in finished} == {order.order for order in orders}


def test_a_known_order_is_answered_from_the_journal_even_with_an_old_nonce(agent: Agent) -> None:
    envelope = agent.enrolled.sealed(agent.enrolled.order(agent.nonces.fresh()))
    agent.orders.receive(envelope)
    (_, first) = agent.told()
    agent.boot_seconds += DAYS_3
    agent.now += timedelta(days=3)
    agent.orders.receive(envelope)
    assert agent.told() == [first]
    assert len(agent.done) == 1


@pytest.mark.parametrize("wrong", [timedelta(minutes=-10), timedelta(0), timedelta(minutes=10)])
@pytest.mark.parametrize("clock_moved", [True, False], ids=["clock right", "clock stood still"])
def test_a_queue_of_three_days_ago_is_not_carried_out(agent: Agent, wrong: timedelta, clock_moved: bool) -> None:
    nonce = agent.nonces.fresh()
    queue = [agent.enrolled.sealed(agent.enrolled.order(nonce, seq=seq)) for seq in range(1, 101)]
    agent.boot_seconds += DAYS_3
    agent.now += (timedelta(days=3) if clock_moved else timedelta(0)) + wrong
    for envelope in queue:
        agent.orders.receive(envelope)
    assert agent.done == []
    assert agent.journal.refusals() == {"stale-nonce": 100}


def test_after_a_restart_every_older_envelope_is_stale(agent: Agent, tmp_path: Path) -> None:
    envelope = agent.enrolled.sealed(agent.enrolled.order(agent.nonces.fresh()))
    restarted = Orders(
        agent.enrolled.settings,
        agent.journal,
        Nonces(),
        agent._carry_out,
        told=lambda: None,
        asked=agent.pings.append,
        verdicts=lambda: iter(()),
    )
    restarted.receive(envelope)
    assert agent.done == []
    assert agent.reasons() == ["stale-nonce"]


def test_an_order_that_killed_the_agent_three_times_is_put_into_quarantine(agent: Agent) -> None:
    order = agent.enrolled.order(agent.nonces.fresh())
    agent.journal.receive(order)
    for _ in range(TRIES - 1):
        agent.journal.start(order.order)
    agent.told()
    agent.orders.recover()
    (finished,) = agent.told()
    assert isinstance(finished, OrderFinished)
    assert finished.outcome == "failed"
    assert "died 3 times" in str(finished.error)
    assert agent.done == []
    assert agent.journal.unfinished() == []


def test_an_interrupted_order_is_finished_with_what_the_first_try_found(agent: Agent) -> None:
    order = agent.enrolled.order(agent.nonces.fresh())
    agent.journal.receive(order)
    agent.journal.found(order.order, "<network><name>before</name></network>")
    agent.orders.recover()
    assert agent.befores == ["<network><name>before</name></network>"]
    assert agent.journal.unfinished() == []


def test_an_order_that_an_error_broke_off_is_finished_when_it_comes_again(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = agent.enrolled.sealed(agent.enrolled.order(agent.nonces.fresh()))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(agent.journal, "step", full)
        with pytest.raises(sqlite3.OperationalError):
            agent.orders.receive(envelope)
    agent.told()
    agent.orders.receive(envelope)
    received, finished = agent.told()
    assert isinstance(received, OrderReceived)
    assert isinstance(finished, OrderFinished)
    assert (finished.outcome, agent.befores) == ("applied", [None, "<network/>"])
    agent.orders.receive(envelope)
    assert len(agent.done) == 2


@pytest.mark.parametrize(("touched", "outcome"), [(False, "refused"), (True, "failed")])
def test_an_unfinished_order_of_three_days_ago_is_closed_and_not_carried_out(
    agent: Agent, touched: bool, outcome: str
) -> None:
    order = agent.enrolled.order(agent.nonces.fresh())
    agent.journal.receive(order)
    if touched:
        agent.journal.found(order.order, "<network/>")
    agent.now += timedelta(days=3)
    agent.told()
    agent.orders.recover()
    (finished,) = agent.told()
    assert isinstance(finished, OrderFinished)
    assert finished.outcome == outcome
    assert agent.done == []


def test_a_flood_of_bad_orders_is_counted_in_full_and_told_in_part(agent: Agent) -> None:
    for _ in range(200):
        agent.orders.receive("flood")
    assert agent.journal.refusals() == {"malformed": 200}
    assert 1 <= len(agent.reasons()) < 50


def _damaged(envelope: str, other: str, chance: random.Random) -> str:
    """The envelope with one bit flipped, a field of another envelope, or a field of the order rewritten."""
    kind = chance.randrange(3)
    if kind == 0:
        raw = bytearray(envelope.encode())
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        return raw.decode(errors="replace")
    fields = json.loads(envelope)
    if kind == 1:
        field = chance.choice(["body", "signature"])
        fields[field] = json.loads(other)[field]
        return json.dumps(fields)
    body = json.loads(fields["body"])
    field = chance.choice([name for name in body if name != "version"])
    body[field] = chance.choice([str(uuid4()), 2, "2036-01-01T00:00:00Z", None, {"action": "start-network"}])
    fields["body"] = json.dumps(body)
    return json.dumps(fields)


def test_ten_thousand_damaged_swapped_and_forged_envelopes_are_all_refused_and_recorded(agent: Agent) -> None:
    chance = random.Random(17)
    nonce = agent.nonces.fresh()
    stranger = Ed25519PrivateKey.generate()
    one = agent.enrolled.sealed(agent.enrolled.order(nonce))
    other = agent.enrolled.sealed(agent.enrolled.order(nonce))
    for number in range(10_000):
        if number % 5 == 3:
            bad = agent.enrolled.sealed(agent.enrolled.order(nonce), stranger)
        elif number % 5 == 4:
            bad = agent.enrolled.sealed(agent.enrolled.order(nonce, host=uuid4()))
        else:
            bad = _damaged(one, other, chance)
        agent.orders.receive(bad)
    assert agent.done == []
    assert sum(agent.journal.refusals().values()) == 10_000
