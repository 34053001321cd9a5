"""Who may do what in Redis: one user for each active host, made from the rows and put back whenever Redis lost it.

A host's user runs a whole Celery worker on its own queue and appends to its own stream of reports. It sees nothing
else: no other host's keys, no channel, and not even what it has reported itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from redis import Redis
from redis.exceptions import ResponseError

from hosts.broker import NUDGE
from hosts.enrolment import redis_user
from hosts.models import Host, HostStatus
from virtnet.channel import down_prefix, up_stream

log = logging.getLogger(__name__)

HOST_USERS = "kvm-"  # all users of this prefix are the panel's
WEB_USER = "web"

# What an agent's worker was measured to need with kombu 5.7 on Redis 7.0, and no more. No scripts: one that never ends
# would stop Redis for everybody.
WORKER_COMMANDS = ("hello", "auth", "ping", "multi", "exec", "sadd", "llen", "brpop")
WEB_COMMANDS = ("hello", "auth", "ping", "select", "lpush", "ltrim")


def host_rules(host: Host) -> tuple[str, ...]:
    """The user of an active host, for ACL SETUSER."""
    return (
        "reset",
        "on",
        f"#{host.redis_password_sha256}",
        "-@all",
        *(f"+{command}" for command in WORKER_COMMANDS),
        f"~{down_prefix(host.pk)}*",
        f"(-@all +xadd ~{up_stream(host.pk)})",
    )


def _password_of(rules: tuple[str, ...]) -> str:
    """As host_rules has it, and as ACL LIST shows it."""
    return rules[2]


def web_rules(password: str) -> tuple[str, ...]:
    """The user of the web process: it may wake the worker, and that is all."""
    sha256 = hashlib.sha256(password.encode()).hexdigest()
    return ("reset", "on", f"#{sha256}", "-@all", *(f"+{command}" for command in WEB_COMMANDS), f"~{NUDGE}")


class RedisUsers:
    """Brings Redis' users in line with the rows; cheap when they are: one query and one ACL LIST."""

    def __init__(self, redis: Redis, *, web_password: str = "") -> None:
        self._call: Callable[..., Any] = redis.execute_command  # redis-py's own ACL methods know no selectors
        self._web_password = web_password
        # User -> the rules that were set, and the line that Redis made of them (it writes them in its own way).
        self._known: dict[str, tuple[tuple[str, ...], str]] = {}

    def reconcile(self) -> None:
        """Raises RedisError when Redis is away, and what the database raises."""
        wanted = self._wanted()
        found = self._list()
        # Another password is another agent's: the connections of the one before would outlive it.
        for user in [
            user
            for user, line in found.items()
            if user.startswith(HOST_USERS) and not (user in wanted and _password_of(wanted[user]) in line.split())
        ]:
            self._remove(user)
        behind = [user for user, rules in wanted.items() if self._known.get(user) != (rules, found.get(user))]
        for user in behind:
            self._call("ACL", "SETUSER", user, *wanted[user])
        if behind:
            lines = self._list()
            self._known |= {user: (wanted[user], lines[user]) for user in behind if user in lines}
            log.info("Redis has %d users again as the rows say", len(behind))

    def _wanted(self) -> dict[str, tuple[str, ...]]:
        active = Host.objects.filter(status=HostStatus.ACTIVE).exclude(redis_password_sha256="")
        wanted = {redis_user(host.pk): host_rules(host) for host in active.only("pk", "redis_password_sha256")}
        if self._web_password:
            wanted[WEB_USER] = web_rules(self._web_password)
        return wanted

    def _list(self) -> dict[str, str]:
        lines = [line.decode() if isinstance(line, bytes) else line for line in self._call("ACL LIST")]
        return {line.split(" ", 2)[1]: line for line in lines}

    def _remove(self, user: str) -> None:
        """In this order no connection of the user outlives it."""
        self._known.pop(user, None)
        self._call("ACL", "SETUSER", user, "off", "resetpass")
        try:
            self._call("CLIENT", "KILL", "USER", user)
        except ResponseError:
            log.debug("%s had no connection", user)
        self._call("ACL", "DELUSER", user)
        # What it still said counts no more; and by an id of its own choice it may have left no room for another's.
        with contextlib.suppress(ValueError):  # a name that is no host's
            self._call("DEL", up_stream(UUID(user.removeprefix(HOST_USERS))))
        log.info("%s is shut out of Redis", user)
