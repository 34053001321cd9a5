"""The Celery app: this host's queue and nothing else, one order at a time, in the main thread (solo pool).

A message is gone from Redis the moment it is taken: the panel repeats an order until the journal has it. So nothing is
acknowledged to Redis, and an acknowledgement that fails because Redis died while an order ran cannot stop the consumer.
"""

from __future__ import annotations

import logging
import socket
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.worker import consumer
from celery.worker.state import maybe_shutdown
from kombu import Connection, Exchange, Queue

from kvmagent import retries
from kvmagent.settings import Settings
from virtnet.channel import QUEUE, down_prefix

BRPOP_SECONDS = 4  # below socket_timeout, or the last BRPOP of a worker that stops would end in a timeout
RETRIES: dict[str, Any] = {  # floats, as kombu documents them; its annotations say int
    "interval_start": retries.FIRST_SECONDS,
    "interval_step": retries.STEP_SECONDS,
    "interval_max": retries.LONGEST_SECONDS,
}

log = logging.getLogger(__name__)


def make_app(settings: Settings) -> Celery:
    """The app without tasks; kvmagent.tasks registers them."""
    app = Celery("kvmagent", broker=settings.redis_url, set_as_current=True)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_queues=[Queue(QUEUE, Exchange(QUEUE, type="direct"), routing_key=QUEUE)],
        task_default_queue=QUEUE,
        task_create_missing_queues=False,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        result_backend=None,
        worker_pool="solo",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_detect_quorum_queues=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_consumer="kvmagent.worker:Consumer",
        broker_transport="kvmagent.transport:Transport",
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # NOPERM: a host that is pending or was revoked tries again
        broker_transport_options={
            "global_keyprefix": down_prefix(settings.host),
            "ack_emulation": False,
            "priority_steps": [0],
            "polling_interval": BRPOP_SECONDS,
            "visibility_timeout": 3600,
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "socket_keepalive_options": {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3},
            # A BRPOP without an answer for 4 + 5 s, looked at every 5 s: a half-open connection is left within 14 s.
            "health_check_interval": 5,
        },
    )
    return app


def work(app: Celery) -> int:
    """Takes orders until SIGTERM, which lets the running order finish. The exit status for the process."""
    # With a receiver of its own, Celery leaves the logging of this process alone.
    signals.setup_logging.connect(_keep_logging, weak=False)
    logging.getLogger("celery").setLevel(logging.WARNING)
    # Celery warns of root because of pickled messages. Ours are JSON, and libvirt, nftables and netlink want root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    worker = app.Worker(
        pool="solo",
        concurrency=1,
        hostname="kvmagent",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return worker.exitcode or 0


def _keep_logging(**_: object) -> None:
    return None


class Consumer(consumer.Consumer):
    """Celery's, but it tries Redis again soon (retries), and says once that it is away."""

    _trouble = ""

    def ensure_connected(self, conn: Connection) -> Connection:
        conn.ensure_connection(self._away, callback=maybe_shutdown, **RETRIES)
        if self._trouble:
            log.info("orders are taken again")
        self._trouble = ""
        return conn

    def _away(self, error: Exception, _interval: float, **_: Any) -> None:
        trouble = f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            log.warning("no orders can be taken, trying again: %s", trouble)
        self._trouble = trouble
