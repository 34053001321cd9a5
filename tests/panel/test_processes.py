"""The worker and the collector as the processes that a team runs, with a real Redis and a small agent between them."""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from redis.backoff import NoBackoff
from redis.retry import Retry

from hosts import operations as host_operations
from hosts.models import Host
from networks import operations
from networks.models import Change, ChangeState, Network
from team.models import User
from tests.panel.agent_double import receive, report, waiting
from tests.panel.factories import Agent, host_facts
from tests.redis_server import RedisServer
from virtnet.messages import Heartbeat, OrderFinished, OrderProgress, OrderReceived, Step
from virtnet.text import text

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

PASSWORD = "a password of the test"


@pytest.fixture
def processes(panel_redis: RedisServer) -> Iterator[list[subprocess.Popen[bytes]]]:
    environment = django_settings.ENVIRONMENT
    variables = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "kvmpanel.settings",
        "KVMPANEL_DATABASE_URL": database_url(),
        "KVMPANEL_REDIS_URL": panel_redis.url,
        "KVMPANEL_SIGNING_KEY": str(environment.signing_key),
        "KVMPANEL_SIGNING_PUBLIC_KEY": str(environment.signing_public_key),
    }
    commands = [[sys.executable, "manage.py", name] for name in ("worker", "collector")]
    started = [subprocess.Popen(command, env=variables) for command in commands]
    yield started
    for process in started:
        process.terminate()
    # One that had hardly begun is ended by the signal itself; none has ended by an error of its own.
    assert {process.wait(10) for process in started} <= {0, -signal.SIGTERM}


def database_url() -> str:
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    login = f"{quote(found['USER'])}:{quote(found['PASSWORD'])}@" if found["USER"] else ""
    return f"postgresql://{login}{quote(found['HOST'], safe='')}:{found['PORT']}/{found['NAME']}"


def until(condition: Callable[[], bool], *, seconds: float) -> float:
    """Waits for `condition`; how long that took. What is looked at lies in other processes, so it is asked again."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not come about in time"
        time.sleep(0.001)
    return time.monotonic() - start


def lab(host: Host) -> Network:
    return Network.objects.get(host=host, name="lab")


def carry_out(server: RedisServer, agent: Agent, change: Change) -> tuple[float, float]:
    """As the agent would; seconds until the order was in the queue, and from its last report to `applied`."""
    taken = until(lambda: waiting(server, agent.host) > 0, seconds=5)
    [message] = [message for message in receive(server, agent.host) if message.task == "kvmagent.carry_out"]
    assert message.order().order == change.pk
    step = Step(text=text("Done."), outcome="done")
    report(server, agent, OrderReceived(order=change.pk), OrderProgress(order=change.pk, number=0, step=step))
    report(server, agent, OrderFinished(order=change.pk, outcome="applied", steps=(step,)))
    applied = until(lambda: Change.objects.get(pk=change.pk).state == ChangeState.APPLIED, seconds=5)
    return taken, applied


def first_ping(server: RedisServer, agent: Agent) -> None:
    """Both processes are at work once a heartbeat was taken and the host was pinged."""
    report(server, agent, Heartbeat(nonce="n-1", facts_digest=host_facts().digest()))
    until(lambda: Host.objects.get(pk=agent.host).nonce == "n-1", seconds=20)
    until(lambda: waiting(server, agent.host) > 0, seconds=20)
    assert [message.task for message in receive(server, agent.host)] == ["kvmagent.ping"]


@pytest.mark.quiet
def test_from_the_request_to_applied_the_panel_takes_milliseconds(
    panel_redis: RedisServer, host: Host, agent: Agent, operator: User, processes: object
) -> None:
    first_ping(panel_redis, agent)
    times = []
    for number in range(20):
        change = operations.set_network_autostart(lab(host), number % 2 == 0, by=operator)
        times.append(sum(carry_out(panel_redis, agent, change)))
    print(f"panel's share, median of 20: {statistics.median(times) * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms")
    # 25 ms is the aim on a machine at rest; the bound here only tells a wake-up from a wait for the next second.
    assert statistics.median(times) < 0.2


def test_a_revoked_host_is_out_within_five_seconds(
    panel_redis: RedisServer, host: Host, agent: Agent, operator: User, processes: object
) -> None:
    Host.objects.update(redis_password_sha256=hashlib.sha256(PASSWORD.encode()).hexdigest())
    client = redis.Redis(
        "127.0.0.1", panel_redis.port, username=f"kvm-{host.pk}", password=PASSWORD, retry=Retry(NoBackoff(), 0)
    )

    def gets_in() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    until(gets_in, seconds=20)
    host_operations.revoke_host(host, by=operator)
    assert until(lambda: not gets_in(), seconds=5) < 5
    assert not gets_in()


def test_an_emptied_redis_loses_no_change_and_no_user(
    panel_redis: RedisServer, host: Host, agent: Agent, operator: User, processes: object
) -> None:
    first_ping(panel_redis, agent)
    change = operations.set_network_autostart(lab(host), True, by=operator)
    until(lambda: waiting(panel_redis, agent.host) > 0, seconds=5)
    panel_redis.run("ACL DELUSER", f"kvm-{host.pk}")
    panel_redis.run("FLUSHALL")
    carry_out(panel_redis, agent, change)
    until(lambda: f"kvm-{host.pk}" in str(panel_redis.run("ACL USERS")), seconds=5)


def test_both_go_on_after_redis_was_killed(
    panel_redis: RedisServer, host: Host, agent: Agent, operator: User, processes: list[subprocess.Popen[bytes]]
) -> None:
    first_ping(panel_redis, agent)
    panel_redis.kill()
    change = operations.set_network_autostart(lab(host), True, by=operator)  # the page works without Redis
    panel_redis.start()
    carry_out(panel_redis, agent, change)
    assert [process.poll() for process in processes] == [None, None]


def test_the_real_agent_enrols_reports_and_carries_out_an_order(
    panel_redis: RedisServer,
    operator: User,
    live_server: LiveServer,
    settings: Settings,
    tmp_path: Path,
    processes: object,
) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(
        update={"agent_redis_url": f"redis://127.0.0.1:{panel_redis.port}/0"}
    )
    host, token = host_operations.add_host("kvm1", by=operator)
    variables = {**os.environ, "KVMAGENT_ETC": str(tmp_path / "etc"), "KVMAGENT_STATE": str(tmp_path / "state")}
    kvmagent = [sys.executable, "-m", "kvmagent"]
    subprocess.run(
        [*kvmagent, "enrol", f"--panel={live_server.url}", f"--token={token}"], env=variables, check=True, timeout=60
    )
    # libvirt's own test driver: nothing of this machine is touched.
    agent = subprocess.Popen([*kvmagent, "run", "--uri=test:///default"], env=variables)
    try:
        host.refresh_from_db()
        host_operations.approve_host(host, by=operator)
        until(lambda: Network.objects.filter(host=host, name="default").exists(), seconds=30)
        change = operations.set_network_autostart(Network.objects.get(host=host), True, by=operator)
        until(lambda: not Change.objects.get(pk=change.pk).is_open, seconds=15)
        change.refresh_from_db()
        assert (change.state, change.read_problems(), change.read_error()) == (ChangeState.APPLIED, (), None)
        assert [step.outcome for step in change.read_steps()] == ["done"]
        until(lambda: Network.objects.filter(host=host, facts__autostart=True).exists(), seconds=5)
    finally:
        agent.terminate()
        agent.wait(20)


@pytest.mark.postgres
def test_both_go_on_after_the_database_dropped_them(
    panel_redis: RedisServer, host: Host, agent: Agent, operator: User, processes: list[subprocess.Popen[bytes]]
) -> None:
    first_ping(panel_redis, agent)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchone() == (2,)
    carry_out(panel_redis, agent, operations.set_network_autostart(lab(host), True, by=operator))
    assert [process.poll() for process in processes] == [None, None]
