"""The panel's connections to Redis: for its own commands by redis-py, for Celery by kombu."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

from django.conf import settings
from kombu import Connection
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from virtnet.channel import down_prefix

log = logging.getLogger(__name__)

NUDGE = (
    "kvm:panel:nudge"  # a list: the worker waits on it, so that it need not poll the database more than once a second
)
NUDGES_KEPT = 100  # while no worker runs

PATIENCE_SECONDS = 1.0  # the most that a Redis that is away or frozen may cost a loop at a time
WEB_PATIENCE_SECONDS = 0.3  # and a person who waits for a page


def redis_client(url: str, *, patience: float = PATIENCE_SECONDS, block: float = 0.0) -> Redis:
    """A client for redis://, rediss:// or unix:// that answers or raises RedisError within `patience` seconds.

    `block`: the longest time in seconds that its commands wait inside Redis (BLPOP, XREAD).
    """
    timeouts: dict[str, Any] = {"socket_timeout": patience + block, "retry": Retry(NoBackoff(), 0)}
    if urlsplit(url).scheme != "unix":
        timeouts |= {"socket_connect_timeout": patience, "socket_keepalive": True}
    return Redis.from_url(url, **timeouts)


def kombu_url(url: str) -> str:
    """The same place for kombu, which calls a Unix socket redis+socket:// and its database `virtual_host`."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = next((value for key, _, value in (p.partition("=") for p in parts.query.split("&")) if key == "db"), "0")
    login = f"{parts.username or ''}:{parts.password}@" if parts.password else ""
    return f"redis+socket://{login}{parts.path}?virtual_host={quote(database)}"


def host_connection(url: str, host: UUID) -> Connection:
    """kombu's connection that sees only the queue of this host.

    It is made when it is first used. Be sure that Redis answers before that: kombu waits 2 s before it gives up.
    """
    return Connection(
        kombu_url(url),
        transport_options={
            "global_keyprefix": down_prefix(host),
            "socket_timeout": PATIENCE_SECONDS,
            "socket_connect_timeout": PATIENCE_SECONDS,
            "socket_keepalive": True,
        },
    )


@cache
def _nudging(url: str) -> Redis:
    return redis_client(url, patience=WEB_PATIENCE_SECONDS)


def nudge() -> None:
    """Wakes the worker. A Redis that is away is no error here: the worker looks at the database each second anyway."""
    try:
        pipeline = _nudging(settings.ENVIRONMENT.redis_url).pipeline(transaction=False)
        pipeline.lpush(NUDGE, b"1")
        pipeline.ltrim(NUDGE, 0, NUDGES_KEPT - 1)
        pipeline.execute()
    except RedisError as error:
        log.warning("The worker could not be nudged, it will look by itself within a second: %s", error)
