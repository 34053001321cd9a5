"""The collector: reads each host's stream of reports into the database, and trims it after the commit.

A host is known by its stream's name alone. A report is never a Celery message, so a bad host reaches no task with it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from django.db import DataError, IntegrityError, transaction
from django.db import Error as DatabaseError
from django.utils import timezone
from redis import Redis
from redis.exceptions import ResponseError

from hosts.models import Host, HostStatus
from hosts.public_key import fingerprint, public_key_from_text
from networks.events import record_bad_report
from networks.operations import record_report
from virtnet.channel import STREAM_FIELD, STREAM_MAXLEN, up_stream
from virtnet.envelope import LARGEST, EnvelopeError, unseal
from virtnet.messages import Report

log = logging.getLogger(__name__)

ENTRIES = 20  # of one stream at a time: each may be 4 MB
REFRESH_SECONDS = 1.0  # how soon a host that was approved is listened to
STREAMS_CHECK_SECONDS = 5.0

Entry = tuple[str, dict[bytes, bytes]]

# What a report can bring about that is its own fault. NUL characters and huge numbers reach as far as the database.
BAD = (ValueError, OverflowError, RecursionError, InvalidSignature, DataError, IntegrityError)


@dataclass
class Listening:
    """A host that is listened to."""

    host: Host
    cursor: str  # the last entry that was read


class Collector:
    """Reads with `blocking`, whose timeout is longer than a read may wait; `redis` does the rest."""

    def __init__(self, redis: Redis, blocking: Redis, *, wait_seconds: float = 1.0) -> None:
        self._redis = redis
        self._blocking = blocking
        self._wait = wait_seconds
        self._listening: dict[str, Listening] = {}
        self._refreshed_at = 0.0
        self._checked_at = 0.0

    def turn(self) -> None:
        """Takes what has come, waiting for it a second at most. Raises RedisError or django.db.Error when one of the
        two is away; what was not committed is still in the stream."""
        now = time.monotonic()
        if now - self._refreshed_at >= REFRESH_SECONDS:
            self._refresh()
            self._refreshed_at = now
        if now - self._checked_at >= STREAMS_CHECK_SECONDS:
            self._check_streams()
            self._checked_at = now
        if not self._listening:
            time.sleep(self._wait)
            return
        cursors: Any = {stream: listening.cursor for stream, listening in self._listening.items()}
        try:
            answer: Any = self._blocking.xread(cursors, count=ENTRIES, block=int(self._wait * 1000))
            for stream, entries in _streams(answer):
                self._take(stream, entries)
        except BaseException:
            # Read again from what the database has, whatever was half done.
            self._listening.clear()
            self._refreshed_at = self._checked_at = 0.0
            raise

    def _refresh(self) -> None:
        wanted = Host.objects.filter(status=HostStatus.ACTIVE).only("pk", "name", "public_key", "stream_id")
        before = self._listening
        self._listening = {}
        for host in wanted:
            stream = up_stream(host.pk)
            known = before.get(stream)
            same = known is not None and known.host.public_key == host.public_key
            self._listening[stream] = Listening(host, known.cursor if known and same else host.stream_id)

    def _check_streams(self) -> None:
        """A Redis that was emptied may count from an earlier time: then all it has is new. A host that writes more than
        agents do is cut."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream in self._listening:
            pipeline.xinfo_stream(stream)
        for listening, info in zip(self._listening.values(), pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(info, ResponseError):
                continue  # there is no such stream yet
            if isinstance(info, Exception):
                raise info
            if _numbers(_text(info["last-generated-id"])) < _numbers(listening.cursor):
                listening.cursor = "0-0"
            if info["length"] > 2 * STREAM_MAXLEN:
                self._redis.xtrim(up_stream(listening.host.pk), maxlen=STREAM_MAXLEN, approximate=False)
                _drop(listening.host, f"had {info['length']} reports waiting; the oldest were cut")

    def _take(self, stream: str, entries: list[Entry]) -> None:
        listening = self._listening[stream]
        for stream_id, fields in entries:
            take_entry(listening.host, stream_id, fields)
            listening.cursor = stream_id
        # After the commits. Should this fail, the same entries come again and their seq says that they are known.
        self._redis.xdel(stream, *[stream_id for stream_id, _ in entries])


def take_entry(host: Host, stream_id: str, fields: dict[bytes, bytes]) -> None:
    """One entry of a host's stream; a bad one is recorded and dropped. Raises only when the database is away."""
    try:
        sealed = fields.get(STREAM_FIELD.encode(), b"")
        if len(sealed) > LARGEST:
            raise EnvelopeError(f"larger than {LARGEST} bytes")
        key = public_key_from_text(host.public_key)
        report = unseal(sealed, Report, "report", key=fingerprint(key), verify=key.verify)
        record_report(host, report, stream_id=stream_id, at=_laid_at(stream_id))
    except BAD as error:
        _drop(host, f"{type(error).__name__}: {error}"[:500])
    except DatabaseError:
        raise
    except Exception as error:
        # A defect of ours. It would be met again and again, and the other hosts would never be heard.
        log.exception("a report of %s could not be taken", host)
        _drop(host, f"{type(error).__name__}: {error}"[:500])


def _drop(host: Host, why: str) -> None:
    with transaction.atomic():
        record_bad_report(host, why)


def _laid_at(stream_id: str) -> datetime:
    """When Redis took the entry, by its own clock; never in the future, as a host may name its own ids."""
    now = timezone.now()
    milliseconds = min(_numbers(stream_id)[0], int(now.timestamp() * 1000))
    return min(now, datetime.fromtimestamp(milliseconds / 1000, tz=UTC))


def _numbers(stream_id: str) -> tuple[int, int]:
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


def _streams(answer: Any) -> list[tuple[str, list[Entry]]]:
    """What XREAD answers, in both of Redis' protocols: pairs, or a dictionary; nothing when the time ran out."""
    pairs = answer.items() if isinstance(answer, dict) else answer or []
    return [
        (_text(stream), [(_text(stream_id), fields) for stream_id, fields in entries if fields is not None])
        for stream, entries in pairs
    ]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
