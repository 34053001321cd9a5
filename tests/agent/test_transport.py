"""Whatever lies in the queue, what comes out is a call of one of our two tasks with one text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvmagent.transport import task_message
from tests.agent.enrolled_host import celery_message
from virtnet.channel import CARRY_OUT, PING


def call(raw: bytes) -> tuple[str, object]:
    """(task, argument) of the clean message, read as Celery reads it."""
    message = task_message(raw)
    arguments, keywords, embedded = json.loads(base64.b64decode(message["body"]))
    assert (len(arguments), keywords, embedded) == (1, {}, {})
    return message["headers"]["task"], arguments[0]


@pytest.mark.parametrize("task", [CARRY_OUT, PING])
def test_a_good_call_comes_through_as_it_is(task: str) -> None:
    assert call(celery_message('{"sealed": "order…"}', task)) == (task, '{"sealed": "order…"}')


def test_what_else_a_celery_message_may_ask_for_is_dropped() -> None:
    message: dict[str, Any] = json.loads(celery_message("sealed", PING))
    message["headers"].update({"eta": "2036-01-01T00:00:00", "group": "g", "expires": "x", "timelimit": [1, 1]})
    message["body"] = base64.b64encode(
        json.dumps([["sealed"], {}, {"callbacks": ["x"], "chain": []}]).encode()
    ).decode()
    clean = task_message(json.dumps(message).encode())
    assert clean["headers"].keys() == {"lang", "task", "id", "root_id", "argsrepr", "kwargsrepr"}
    assert call(json.dumps(message).encode()) == (PING, "sealed")


@pytest.mark.parametrize(
    "message",
    [
        celery_message("sealed", "celery.map"),
        celery_message({"not": "a text"}),
        celery_message(None),
        celery_message("\ud800"),
        b"",
        b"[" * 100_000,
        b"\xff",
        b'{"body": "W10=", "headers": {"task": "kvmagent.ping"}}',
        b'{"body": "NQ==", "headers": {"task": "kvmagent.ping"}}',
        b'{"body": "W1tdLHt9LHt9XQ==", "headers": {"task": "kvmagent.ping"}}',
        b'{"body": "x", "headers": 5}',
        json.dumps({"body": base64.b64encode(b"[" * 50_000).decode(), "headers": {"task": PING}}).encode(),
        b"x" * 13_000_000,
    ],
    ids=lambda message: repr(message[:40]),
)
def test_anything_else_becomes_an_order_that_will_be_refused(message: bytes) -> None:
    assert call(message) == (CARRY_OUT, "")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["body", "headers", "task", "x"]), inner),
)


@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
@example(b'{"body": "", "headers": {"task": "kvmagent.carry_out"}}')
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    assert call(raw)[0] in {CARRY_OUT, PING}
