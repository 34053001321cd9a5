"""The panel's word on an armed change: asked for anew, taken when it is good, and waited past when it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kvmagent import arming
from kvmagent.arming import Armed
from kvmagent.carry_out import Finished
from kvmagent.guard import boot_clock
from kvmagent.guard_verbs import Confirmation
from kvmagent.journal import Journal
from kvmagent.nonces import Nonces
from kvmagent.orders import Orders
from tests.agent.enrolled_host import EnrolledHost
from virtnet.actions import AnyAction
from virtnet.messages import OrderArmed, Verdict

WORDS = ("keep", "undo")


class Panel:
    """Orders whose only action waits for its verdict, and the panel's end of the channel."""

    def __init__(self, directory: Path) -> None:
        self.enrolled = EnrolledHost(directory)
        self.journal = Journal(directory / "state" / "journal.sqlite3")
        self.nonces = Nonces()
        self.seconds = 60.0
        self.verdicts: list[str | None] = []
        self.got: list[str | None] = []
        self.asked: list[OrderArmed] = []
        self.say: Callable[[OrderArmed], None] = lambda armed: None
        self.orders = Orders(
            self.enrolled.settings,
            self.journal,
            self.nonces,
            self._carry_out,
            told=self._told,
            asked=lambda ping: None,
            verdicts=self._verdicts,
        )

    def run(self) -> str | None:
        """What the action was told."""
        self.orders.receive(self.enrolled.sealed(self.enrolled.order(self.nonces.fresh())))
        return self.got[-1]

    def verdict(self, armed: OrderArmed, word: str, key: Ed25519PrivateKey | None = None, **changed: Any) -> None:
        verdict = Verdict.model_validate(
            {
                "order": armed.order,
                "host": self.enrolled.settings.host,
                "verdict": word,
                "nonce": armed.nonce,
                **changed,
            }
        )
        self.verdicts.append(self.enrolled.sealed(verdict, key))

    def _carry_out(self, action: AnyAction, *_: object, confirmation: Confirmation, **__: object) -> Finished:
        armed = Armed("", "person", boot_clock() + self.seconds, ("eth0",), {}, [])
        self.got.append(confirmation.verdict(armed))
        return Finished(outcome="applied")

    def _told(self) -> None:
        waiting = [one.report for one in _waiting(self.journal)]
        for armed in [OrderArmed.model_validate_json(one) for one in waiting if json.loads(one)["kind"] == "armed"]:
            self.asked.append(armed)
            self.say(armed)

    def _verdicts(self) -> Iterator[str | None]:
        while self.verdicts:
            yield self.verdicts.pop(0)
        while True:
            yield None


def _waiting(journal: Journal) -> Iterator[Any]:
    while waiting := journal.next_report():
        yield waiting
        journal.delivered(waiting)


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    monkeypatch.setattr(arming, "find", lambda: (None, "armed", ""))
    return Panel(tmp_path)


@pytest.mark.parametrize("word", WORDS)
def test_a_good_word_is_taken_and_was_asked_for(panel: Panel, word: str) -> None:
    panel.say = lambda armed: panel.verdict(armed, word)
    assert panel.run() == word
    (asked,) = panel.asked
    assert asked.asks == "person"
    assert 50 < asked.seconds <= 60


def test_each_change_asks_with_another_nonce(panel: Panel) -> None:
    panel.say = lambda armed: panel.verdict(armed, "keep")
    panel.run()
    panel.run()
    assert len({asked.nonce for asked in panel.asked}) == 2


BAD: dict[str, Callable[[Panel, OrderArmed], None]] = {
    "signature": lambda panel, armed: panel.verdict(armed, "keep", Ed25519PrivateKey.generate()),
    "malformed": lambda panel, armed: panel.verdicts.append("no envelope"),
    "other-host": lambda panel, armed: panel.verdict(armed, "keep", host=uuid4()),
    "stale-nonce": lambda panel, armed: panel.verdict(armed, "keep", nonce="of an earlier change"),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_word_is_counted_and_waited_past(panel: Panel, reason: str) -> None:
    def say(armed: OrderArmed) -> None:
        BAD[reason](panel, armed)
        panel.verdict(armed, "undo")

    panel.say = say
    assert panel.run() == "undo"
    assert panel.journal.refusals() == {reason: 1}


def test_a_word_on_another_order_is_counted_and_waited_past(panel: Panel) -> None:
    def say(armed: OrderArmed) -> None:
        panel.verdict(armed, "keep", order=uuid4())
        panel.verdict(armed, "undo")

    panel.say = say
    assert panel.run() == "undo"
    assert panel.journal.refusals() == {"stale-nonce": 1}


def test_an_order_is_no_word(panel: Panel) -> None:
    def say(armed: OrderArmed) -> None:
        panel.verdicts.append(panel.enrolled.sealed(panel.enrolled.order(armed.nonce)))
        panel.verdict(armed, "undo")

    panel.say = say
    assert panel.run() == "undo"
    assert panel.journal.refusals() == {"malformed": 1}


def test_without_a_word_the_window_closes(panel: Panel) -> None:
    panel.seconds = 0.05
    assert panel.run() is None


@pytest.mark.parametrize(("state", "word"), [("kept", "keep"), ("restored", "undo")])
def test_what_was_said_at_the_host_itself_counts(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, state: str, word: str
) -> None:
    monkeypatch.setattr(arming, "find", lambda: (None, state, ""))
    assert panel.run() == word


def test_a_change_that_is_asked_about_again_waits_once_in_the_outbox(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite3")
    order = uuid4()
    for nonce in ("first", "second"):
        journal.armed(OrderArmed(order=order, nonce=nonce, asks="panel", seconds=60))
    assert [json.loads(waiting.report)["nonce"] for waiting in _waiting(journal)] == ["second"]
