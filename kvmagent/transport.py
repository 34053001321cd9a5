"""kombu's Redis transport with a gate: whatever lies in the queue, what comes out is a call of one of our two tasks.

With the plain transport, 6 of 11 kinds of malformed messages end the worker's process, because they are decoded before
any task is looked for. Here the raw bytes are read by us; what is no call of a task of ours with one text becomes a
call of `carry_out` with an empty text, which is refused, counted and reported like every other malformed order.
"""

from __future__ import annotations

import base64
import json
from functools import partialmethod
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import redis
from pydantic import BaseModel, Field, ValidationError
from redis.connection import Connection, SSLConnection

from virtnet.channel import CARRY_OUT, PING, QUEUE
from virtnet.envelope import LARGEST

# An envelope is wrapped in JSON (quotes escaped) and base64 on its way: less than three times its size.
LARGEST_MESSAGE = 3 * LARGEST


class _Headers(BaseModel):
    task: str


class _TaskMessage(BaseModel):
    """The parts of a Celery message (protocol 2) that are looked at; the rest (eta, callbacks, retries) is dropped."""

    body: str = Field(max_length=LARGEST_MESSAGE)
    headers: _Headers


def task_message(raw: bytes) -> dict[str, Any]:
    """A clean Celery message for what was in the queue. Never raises."""
    task, sealed = _read(raw)
    call = str(uuid4())
    return {
        "body": base64.b64encode(json.dumps([[sealed], {}, {}]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": task, "id": call, "root_id": call, "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "correlation_id": call,
            "delivery_tag": call,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
        },
    }


def _read(raw: bytes) -> tuple[str, str]:
    """(task, its one argument); a call that will be refused for what is malformed."""
    try:
        if len(raw) > LARGEST_MESSAGE:
            raise ValueError("too large")
        message = _TaskMessage.model_validate_json(raw)
        arguments, keywords, _ = json.loads(base64.b64decode(message.body, validate=True))
        (sealed,) = arguments
        if message.headers.task not in (CARRY_OUT, PING) or keywords != {} or not isinstance(sealed, str):
            raise ValueError("not a call of ours")
        sealed.encode()  # JSON may hold half a surrogate pair, which is no text
    # TypeError: a number where a list should be. RecursionError: nested thousands deep.
    except (ValidationError, ValueError, TypeError, RecursionError):
        return CARRY_OUT, ""
    return message.headers.task, sealed


# CLIENT SETINFO is not in the host's ACL; its refusals would fill ACL LOG, where a break-in would show.
class _Connection(Connection):
    __init__ = partialmethod(Connection.__init__, driver_info=None)


class _TlsConnection(SSLConnection):
    __init__ = partialmethod(SSLConnection.__init__, driver_info=None)


class Channel(redis.Channel):
    connection_class = _Connection
    connection_class_ssl = _TlsConnection

    def _brpop_read(self, **options: Any) -> bool:
        # As kombu's own, but for the decoding. It is called when the reply to BRPOP can be read.
        try:
            reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
        except redis.Transport.connection_errors:
            # The next round of the event loop connects again.
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
        if not reply:
            raise Empty
        self.connection._deliver(task_message(reply[1]), QUEUE)
        return True


class Transport(redis.Transport):
    Channel = Channel
