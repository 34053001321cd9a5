"""The worker's half of the channel: signs what is due, and lays it in its host's queue as a Celery message."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from celery import Celery
from django.db.models import Q
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import KombuError
from redis import Redis

from hosts.broker import host_connection
from hosts.models import Host, HostStatus
from networks.confirming import note_told, to_be_told, verdict_of
from networks.models import Change
from networks.outbox import claim, expire_waiting, first_of_each_host, give_back, is_due, order_of
from networks.signing import Signer
from virtnet.channel import CARRY_OUT, ORDER_MINUTES, PING, QUEUE, VERDICTS, down_prefix
from virtnet.messages import Ping

log = logging.getLogger(__name__)

QUEUE_BOUND = 5  # messages that wait for one host; its agent is not there, so more would only pile up
CONNECTIONS_KEPT = 128
VERDICT_SECONDS = 10  # a verdict that its host has not taken by then lies there no more; it is told again before

PING_EVERY = timedelta(seconds=60)
PING_AGAIN = timedelta(seconds=2)  # at the soonest, when facts are missing


class Pipe:
    """The queues of the hosts: a connection for each, because its key prefix belongs to the connection."""

    def __init__(self, url: str, redis: Redis) -> None:
        self._url = url
        self._redis = redis
        self._celery = Celery("kvmpanel", set_as_current=False, broker=None, backend=None)
        self._celery.conf.update(task_ignore_result=True, task_serializer="json", accept_content=["json"])
        self._producers: OrderedDict[UUID, tuple[Connection, Any]] = OrderedDict()

    def waiting(self, host: UUID) -> int:
        """How many messages the host has not taken. Raises RedisError at once when Redis is away."""
        return self._redis.llen(f"{down_prefix(host)}{QUEUE}")

    def put(self, host: UUID, task: str, sealed: str) -> None:
        """Raises RedisError or OSError when it is not known to lie in the queue."""
        try:
            self._celery.send_task(
                task,
                args=[sealed],
                queue=QUEUE,
                producer=self._producer(host),
                # Celery looks at the host's own clock, which may be minutes off; what keeps stale orders from being
                # carried out is their nonce.
                expires=ORDER_MINUTES * 60,
                ignore_result=True,
                retry=False,
            )
        except KombuError as error:
            self._drop(host)
            raise ConnectionError(str(error)) from error
        except BaseException:
            self._drop(host)
            raise

    def tell(self, host: UUID, sealed: str) -> None:
        """Lays a verdict where its host waits for one, in place of an earlier one. Raises RedisError."""
        verdicts = f"{down_prefix(host)}{VERDICTS}"
        pipeline = self._redis.pipeline()
        pipeline.lpush(verdicts, sealed)
        pipeline.ltrim(verdicts, 0, 0)
        pipeline.expire(verdicts, VERDICT_SECONDS)
        pipeline.execute()

    def close(self) -> None:
        for host in list(self._producers):
            self._drop(host)

    def _producer(self, host: UUID) -> Any:
        if host not in self._producers:
            connection = host_connection(self._url, host)
            self._producers[host] = connection, self._celery.amqp.Producer(connection.channel(), auto_declare=False)
            if len(self._producers) > CONNECTIONS_KEPT:
                self._drop(next(iter(self._producers)))
        self._producers.move_to_end(host)
        return self._producers[host][1]

    def _drop(self, host: UUID) -> None:
        connection, _ = self._producers.pop(host, (None, None))
        if connection is not None:
            connection.release()


class Sender:
    """One look at the outbox after another."""

    def __init__(self, pipe: Pipe, signer: Signer) -> None:
        self._pipe = pipe
        self._signer = signer

    def look(self) -> None:
        """Sends what is due. Raises RedisError, OSError or django.db.Error when one of the two is away; what is not
        sent then is due at the next look."""
        for change in to_be_told():  # first: a host waits for it
            self._tell(change)
        for change in first_of_each_host():
            if is_due(change):
                self._send(change)
        expire_waiting()  # after what can go has gone: those at the front were looked at just now
        for host in _hosts_to_ping():
            self._ping(host)

    def _send(self, change: Change) -> None:
        if self._pipe.waiting(change.host_id) >= QUEUE_BOUND or not claim(change, timezone.now()):
            return
        try:
            self._pipe.put(change.host_id, CARRY_OUT, self._signer.seal(order_of(change)))
        except BaseException:
            give_back(change)
            raise
        log.info("Sent %s (%s) to %s, time %d", change.pk, change.action["action"], change.host, change.sends + 1)

    def _tell(self, change: Change) -> None:
        self._pipe.tell(change.host_id, self._signer.seal(verdict_of(change)))
        note_told(change)
        log.info("Told %s: %s %s", change.host, change.verdict, change.pk)

    def _ping(self, host: Host) -> None:
        if self._pipe.waiting(host.pk):
            return  # it will hear of us from what is there
        self._pipe.put(host.pk, PING, self._signer.seal(Ping(ping=uuid4(), host=host.pk, nonce=host.nonce)))
        Host.objects.filter(pk=host.pk).update(pinged_at=timezone.now())


def _hosts_to_ping() -> list[Host]:
    now = timezone.now()
    never = Q(pinged_at=None)
    rarely = Q(pinged_at__lt=now - PING_EVERY)
    wanted = Q(ping_wanted=True, pinged_at__lt=now - PING_AGAIN)
    active = Host.objects.filter(status=HostStatus.ACTIVE).exclude(nonce="")
    return list(active.filter(never | rarely | wanted).only("pk", "nonce"))
