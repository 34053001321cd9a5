"""A real `kvmagent run` on libvirt's test driver, started again whenever it ends, as systemd does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from uuid import UUID

import redis

from tests.agent.enrolled_host import EnrolledHost, celery_message
from virtnet.actions import AnyAction
from virtnet.channel import CARRY_OUT, PING, RESEND_SECONDS
from virtnet.messages import FactsReport, Heartbeat, Order, OrderFinished

ROOT = Path(__file__).parents[2]
Found = TypeVar("Found")


class SupervisedAgent:
    """`with SupervisedAgent(enrolled, client) as agent: …`; `verb` as tests/agent/run_agent.py has it."""

    def __init__(self, enrolled: EnrolledHost, client: redis.Redis, *, verb: str = "0") -> None:
        self.enrolled = enrolled
        self.client = client
        self.starts = 0
        self._environment = {**os.environ, **enrolled.environment, "KVMAGENT_TEST_VERB": verb}
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> SupervisedAgent:
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._process is not None:
            self._process.kill()
        self._supervisor.join(10)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def nonce(self) -> str:
        """The newest that the agent has published."""
        heartbeat = awaited(lambda: self.enrolled.told(self.client, "heartbeat"), 15)[-1]
        assert isinstance(heartbeat, Heartbeat)
        return heartbeat.nonce

    def fresh_nonce(self, seconds: float = 15) -> str:
        """One that is published after this call."""
        before = len(self.enrolled.told(self.client, "heartbeat"))
        awaited(lambda: len(self.enrolled.told(self.client, "heartbeat")) > before, seconds)
        return self.nonce()

    def give(self, order: Order) -> None:
        self.client.lpush(self.enrolled.queue, celery_message(self.enrolled.sealed(order), CARRY_OUT))

    def order(self, action: AnyAction | None = None) -> Order:
        """Gives an order with the newest nonce."""
        order = self.enrolled.order(self.nonce(), action)
        self.give(order)
        return order

    def finished(self, order: Order, seconds: float = 15) -> OrderFinished:
        def look() -> OrderFinished | None:
            for report in self.enrolled.told(self.client, "finished"):
                if isinstance(report, OrderFinished) and report.order == order.order:
                    return report
            return None

        return awaited(look, seconds)

    def hears(self, seconds: float) -> float:
        """Pings, again and again as the panel does, until facts come back for one; how long that took.

        Raises TimeoutError.
        """
        started = time.monotonic()
        pings: set[UUID | None] = set()

        def pong() -> bool:
            if time.monotonic() >= started + len(pings) * RESEND_SECONDS:
                ping = self.enrolled.ping(self.nonce())
                pings.add(ping.ping)
                self.client.lpush(self.enrolled.queue, celery_message(self.enrolled.sealed(ping), PING))
            reports = self.enrolled.told(self.client, "facts")
            return any(isinstance(report, FactsReport) and report.pong in pings for report in reports)

        awaited(pong, seconds)
        return time.monotonic() - started

    def _supervise(self) -> None:
        while not self._ended.is_set():
            self.starts += 1
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.agent.run_agent", "run", "--uri", "test:///default"],
                cwd=ROOT,
                env=self._environment,
            )
            if self._ended.is_set():
                self._process.kill()
            self._process.wait()


def awaited(look: Callable[[], Found | None], seconds: float) -> Found:
    """What `look` gives once it gives something true; a Redis that is away gives nothing. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = look()
        except redis.RedisError:
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"it did not come within {seconds} s")
