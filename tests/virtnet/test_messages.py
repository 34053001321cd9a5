from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import BRIDGE, NAT, OFFICE, host
from virtnet.actions import DefineNetwork
from virtnet.messages import FactsReport, Heartbeat, Order, OrderArmed, OrderFinished, Report, Step, Verdict
from virtnet.spec import Problem
from virtnet.text import text

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
ORDER = Order(
    order=UUID(int=1),
    host=UUID(int=2),
    seq=1,
    action=DefineNetwork(network=OFFICE, spec=NAT),
    facts_digest="0" * 64,
    issued_at=NOON,
    not_after=NOON,
    nonce="n-1",
)


def as_json(**changes: Any) -> str:
    return json.dumps(json.loads(ORDER.model_dump_json()) | changes)


def test_an_order_comes_back_whole() -> None:
    assert Order.model_validate_json(ORDER.model_dump_json()) == ORDER


@pytest.mark.parametrize(
    "report",
    [
        Heartbeat(nonce="n", facts_digest="0"),
        FactsReport(facts=host()),
        OrderArmed(order=UUID(int=1), nonce="n", asks="person", seconds=59.5),
        OrderFinished(
            order=UUID(int=1),
            outcome="undone",
            steps=(Step(text=text("Start the network %(network)s.", network="a"), outcome="failed"),),
            problems=(Problem(text=text("No."), fix=text("Yes."), field="bridge"),),
        ),
    ],
    ids=lambda report: report.kind,
)
def test_a_report_comes_back_whole(report: Heartbeat | FactsReport | OrderArmed | OrderFinished) -> None:
    sent = Report(host=UUID(int=2), seq=7, at=NOON, report=report)
    assert Report.model_validate_json(sent.model_dump_json()) == sent


@pytest.mark.parametrize(
    "changes",
    [
        {"force": True},
        {"version": 2},
        {"seq": 0},
        {"seq": "1"},
        {"order": "1"},
        {"issued_at": "2030-01-01T12:00:00"},
        {"not_after": "tomorrow"},
        {"nonce": None},
        {"action": {"action": "run-shell", "command": "reboot"}},
        {"action": {"action": "define-network"}},
        {"action": {**json.loads(ORDER.action.model_dump_json()), "xml": "<network/>"}},
        {"action": {**json.loads(ORDER.action.model_dump_json()), "spec": {"mode": "wormhole", "name": "office"}}},
        {"action": {**json.loads(ORDER.action.model_dump_json()), "network": {"uuid": str(OFFICE.uuid), "name": ""}}},
    ],
)
def test_an_order_with_anything_else_in_it_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate_json(as_json(**changes))


@pytest.mark.parametrize(
    "changes", [{"nonce": ""}, {"asks": "nobody"}, {"seconds": -1}, {"seconds": 1e9}, {"seconds": "5"}]
)
def test_an_armed_report_with_anything_else_in_it_is_refused(changes: dict[str, Any]) -> None:
    good = json.loads(OrderArmed(order=UUID(int=1), nonce="n", asks="panel", seconds=60).model_dump_json())
    with pytest.raises(ValidationError):
        OrderArmed.model_validate_json(json.dumps(good | changes))


def test_a_verdict_comes_back_whole_and_knows_two_answers() -> None:
    verdict = Verdict(order=UUID(int=1), host=UUID(int=2), verdict="keep", nonce="n")
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    with pytest.raises(ValidationError):
        Verdict.model_validate_json(verdict.model_dump_json().replace("keep", "perhaps"))


def test_a_spec_in_an_order_keeps_its_mode() -> None:
    order = ORDER.model_copy(update={"action": DefineNetwork(network=OFFICE, spec=BRIDGE)})
    action = Order.model_validate_json(order.model_dump_json()).action
    assert isinstance(action, DefineNetwork)
    assert action.spec == BRIDGE
