"""The panel's word on an armed change, asked for over connections that were opened after the change: an old TCP session
would prove nothing about the host as it is now."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvmagent import arming
from kvmagent.arming import Armed
from kvmagent.settings import Settings
from virtnet.channel import VERDICTS, down_prefix
from virtnet.messages import Order, OrderArmed, Verdict

RETRY_SECONDS = 0.2  # a connection may be refused at once
WAIT_SECONDS = 1  # of one BRPOP: so often the guard is looked at too

log = logging.getLogger(__name__)


class Journal(Protocol):
    def armed(self, armed: OrderArmed) -> None: ...


class PanelConfirmation:
    """For one order. told: lets what waits in the journal go out; that a change waits goes over a new connection. read:
    the Verdict of a sealed one, None when it was refused. verdicts: sealed ones as they come, None now and then."""

    def __init__(
        self,
        order: Order,
        journal: Journal,
        *,
        told: Callable[[], None],
        read: Callable[[str, str], Verdict | None],
        verdicts: Callable[[], Iterator[str | None]],
    ) -> None:
        self.owner = str(order.order)
        self._order = order
        self._journal = journal
        self._told = told
        self._read = read
        self._verdicts = verdicts

    def verdict(self, armed: Armed) -> Literal["keep", "undo"] | None:
        # Drawn now, after the change: no answer to anything earlier can hold it.
        nonce = secrets.token_urlsafe(24)
        self._journal.armed(OrderArmed(order=self._order.order, nonce=nonce, asks=armed.asks, seconds=armed.left))
        self._told()
        for sealed in self._verdicts():
            if sealed is not None and (verdict := self._read(sealed, nonce)) is not None:
                return verdict.verdict
            if armed.left == 0:
                return None
            # Somebody with root on the host may have said it there, by `kvmagent keep` or `kvmagent undo`.
            state = arming.find()[1]
            if state != "armed":
                return "keep" if state == "kept" else "undo"
        return None


def verdicts(settings: Settings) -> Iterator[str | None]:
    """Endless: what lies in this host's list of verdicts, over a connection of its own; None after a wait in vain."""
    key = f"{down_prefix(settings.host)}{VERDICTS}"
    trouble = ""
    while True:
        client = _client(settings.redis_url)
        try:
            while True:
                found = client.brpop([key], timeout=WAIT_SECONDS)
                trouble = ""
                yield str(found[1]) if found else None
        except (redis.RedisError, OSError) as error:
            if trouble != (trouble := f"{type(error).__name__}: {error}"):
                log.warning("the panel's word on the change cannot be read yet: %s", trouble)
            time.sleep(RETRY_SECONDS)
            yield None
        finally:
            client.close()


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=WAIT_SECONDS + 2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        decode_responses=True,
        encoding_errors="replace",
    )
