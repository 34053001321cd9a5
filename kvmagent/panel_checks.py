"""`kvmagent doctor` on the way to the panel: enrolled, let in by Redis, and of the same time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import redis

from kvmagent import settings
from kvmagent.check import Check
from virtnet.text import text

REDIS_SECONDS = 3.0
PANEL_SECONDS = 5.0
CLOCK_SECONDS = 60.0  # orders live for 15 minutes; beyond a minute, somebody should look


def look() -> Iterator[Check]:
    try:
        found = settings.load()
    except settings.NotEnrolled as error:
        yield Check(
            name="enrolment",
            state="bad",
            text=text("%(error)s", error=error),
            fix=text("kvmagent enrol --panel URL --token TOKEN"),
        )
        return
    yield Check(
        name="enrolment",
        state="ok",
        text=text("Enrolled as %(name)s at %(panel)s.", name=found.name, panel=found.panel),
    )
    yield from _redis(found.redis_url)
    yield from _clock(found.panel)


def _redis(url: str) -> Iterator[Check]:
    where = urlsplit(url)
    address = f"{where.hostname}:{where.port or 6379}"  # never the URL: it holds the password
    client = redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
    try:
        client.ping()
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        yield Check(
            name="redis",
            state="bad",
            text=text("Redis at %(address)s does not let this host in.", address=address),
            fix=text("Approve the host in the panel; if it was revoked there, enrol it again."),
        )
        return
    except (redis.RedisError, OSError) as error:
        yield Check(
            name="redis",
            state="bad",
            text=text("Redis at %(address)s is not reachable: %(error)s", address=address, error=error),
            fix=text("Look at the way to it: ping %(host)s, and the firewalls between.", host=where.hostname),
        )
        return
    finally:
        client.close()
    yield Check(name="redis", state="ok", text=text("Redis at %(address)s answers.", address=address))


def _clock(panel: str) -> Iterator[Check]:
    """Against the Date of the panel's answer, whatever it answers: orders carry the panel's time."""
    try:
        date = _date_of(panel)
    except (OSError, HTTPException, ValueError) as error:
        yield Check(
            name="panel",
            state="warn",
            text=text("The panel at %(panel)s does not answer: %(error)s", panel=panel, error=error),
            fix=text("Orders come through Redis all the same; only this check needs the page."),
        )
        return
    yield Check(name="panel", state="ok", text=text("The panel at %(panel)s answers.", panel=panel))
    wrong = round(abs((datetime.now(UTC) - date).total_seconds()))
    if wrong <= CLOCK_SECONDS:
        yield Check(name="clock", state="ok", text=text("The clock agrees with the panel's."))
    else:
        yield Check(
            name="clock",
            state="warn",
            text=text("The clock is %(seconds)s s off the panel's.", seconds=wrong),
            fix=text("Let chrony or systemd-timesyncd set it: timedatectl set-ntp true"),
        )


def _date_of(url: str) -> datetime:
    """The Date header of the answer to HEAD, with its timezone. Raises OSError, HTTPException, ValueError."""
    where = urlsplit(url)
    kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
    connection = kind(where.hostname or "", where.port, timeout=PANEL_SECONDS)
    try:
        connection.request("HEAD", where.path or "/")
        return parsedate_to_datetime(connection.getresponse().getheader("Date", ""))
    finally:
        connection.close()
