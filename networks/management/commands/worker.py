"""manage.py worker: sends what is due to the hosts, and keeps Redis' users in line with the rows."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hosts.broker import NUDGE, redis_client
from hosts.redis_acl import RedisUsers
from networks.loop import Loop
from networks.sending import Pipe, Sender
from networks.signing import Signer, UnusableKey, load_signer

LOOK_SECONDS = 1  # without a nudge
RECONCILE_SECONDS = 2.0  # without a nudge


class Command(BaseCommand):
    help = "Sign orders and send them to the hosts, until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            signer = load_signer(settings.ENVIRONMENT.signing_key)
        except UnusableKey as error:
            raise CommandError(str(error)) from error
        loop = Loop(Worker(signer).turn, name="worker")
        loop.stop_on_signals()
        loop.run()


class Worker:
    """One turn: wait for a nudge or a second, then bring Redis' users and the hosts' queues up to date."""

    def __init__(self, signer: Signer) -> None:
        environment = settings.ENVIRONMENT
        redis = redis_client(environment.redis_url)
        self._redis = redis
        self._waiting = redis_client(environment.redis_url, block=LOOK_SECONDS)
        self._users = RedisUsers(redis, web_password=environment.web_redis_password.get_secret_value())
        self._sender = Sender(Pipe(environment.redis_url, redis), signer)
        self._reconciled_at = 0.0
        self._users_are_due = True
        self._look_at_once = True

    def turn(self) -> None:
        try:
            self._turn()
        except BaseException:
            # A Redis that was away may have come back without its users, and no host gets in before they are there.
            self._users_are_due = True
            raise

    def _turn(self) -> None:
        nudged = not self._look_at_once and self._waiting.blpop([NUDGE], timeout=LOOK_SECONDS) is not None
        self._look_at_once = True  # what was nudged for is not forgotten when the look fails
        if nudged:
            self._redis.delete(NUDGE)  # those before this moment; the look that follows sees what they were for
        if self._users_are_due:  # before anything is sent: the hosts try to get in all the time
            self._reconcile()
        self._sender.look()
        if nudged or time.monotonic() - self._reconciled_at >= RECONCILE_SECONDS:
            self._reconcile()
        self._look_at_once = False

    def _reconcile(self) -> None:
        self._users.reconcile()
        self._reconciled_at = time.monotonic()
        self._users_are_due = False
