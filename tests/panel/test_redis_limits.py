"""The Redis that the lab runs as a team would: what one host may lay into it at once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import ResponseError
from redis.retry import Retry

from lab.driver import free_port
from lab.redis_server import RedisConfiguration
from virtnet.envelope import LARGEST

pytestmark = pytest.mark.redis

STREAM = "kvm:h:up"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[redis.Redis]:
    """An administrator's client."""
    configuration = RedisConfiguration(tmp_path, IPv4Address("127.0.0.1"), free_port())
    process = subprocess.Popen(configuration.argv(), stdout=subprocess.DEVNULL)
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 20)
    client = redis.Redis.from_url(configuration.worker_url, retry=retry)
    try:
        client.ping()
        client.set_retry(Retry(NoBackoff(), 0))
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def test_a_report_of_the_largest_size_is_taken_and_much_more_is_not(worker: redis.Redis) -> None:
    worker.xadd(STREAM, {"report": b"x" * LARGEST})
    with pytest.raises((ResponseError, RedisGone)):
        worker.xadd(STREAM, {"report": b"x" * 20_000_000})
    assert worker.xlen(STREAM) == 1
