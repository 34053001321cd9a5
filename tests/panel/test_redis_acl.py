"""A host's credential, tried on a real Redis: exactly the allowed set, and for as long as the host is trusted."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as django_settings
from pytest_django import Settings
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import ConnectionError as RedisGone
from redis.retry import Retry

from hosts import operations
from hosts.broker import NUDGE
from hosts.models import Host, HostStatus
from hosts.redis_acl import WORKER_COMMANDS, RedisUsers
from networks.management.commands.worker import Worker
from networks.signing import load_signer
from team.models import User
from tests.panel.conftest import use_environment
from tests.panel.factories import make_host
from tests.redis_server import DOWN_COMMANDS, RedisServer
from virtnet.channel import down_prefix, up_stream

pytestmark = [pytest.mark.redis, pytest.mark.django_db]

PASSWORD = "a password of the test"


def with_password(host: Host) -> Host:
    host.redis_password_sha256 = hashlib.sha256(PASSWORD.encode()).hexdigest()
    host.save()
    return host


def login(server: RedisServer, user: str, password: str = PASSWORD) -> redis.Redis:
    return redis.Redis(
        host="127.0.0.1",
        port=server.port,
        username=user,
        password=password,
        socket_timeout=2,
        retry=Retry(NoBackoff(), 0),
    )


def as_host(server: RedisServer, host: Host) -> redis.Redis:
    return login(server, f"kvm-{host.pk}")


def allowed(client: redis.Redis, *command: str) -> bool:
    """Whether ACL lets the command through; what the command itself makes of its arguments is another matter."""
    call: Callable[..., Any] = client.execute_command
    try:
        call(*command)
    except NoPermissionError:
        return False
    except ResponseError:
        return True
    return True


def every_command(server: RedisServer) -> list[str]:
    """All that this Redis knows, subcommands as "acl list"."""
    names = {name.decode() for name in server.run("COMMAND LIST")}
    containers = {name.partition("|")[0] for name in names if "|" in name}
    return sorted(name.replace("|", " ") for name in names - containers)


def may_run(redis_call: Callable[..., Any], user: str, command: str, key: str) -> bool:
    """Asks Redis itself, with as many arguments as the command takes, without running anything."""
    # brpop's last argument is a time, not a key; "1" is good enough for what the others take.
    lists = [[key, *["1"] * count] for count in range(8)] if command != "brpop" else [[key, "1"]]
    for arguments in [*lists, []]:
        try:
            return redis_call("ACL DRYRUN", user, *command.split(" "), *arguments) in (b"OK", "OK")
        except ResponseError as error:
            if "wrong number of arguments" not in str(error):
                raise
    raise AssertionError(f"{command} takes none of these")


def test_the_agent_was_tested_with_these_very_commands() -> None:
    assert tuple(f"+{command}" for command in WORKER_COMMANDS) == DOWN_COMMANDS[1:]


def test_of_all_commands_and_keys_a_host_may_use_exactly_the_allowed_ones(panel_redis: RedisServer, host: Host) -> None:
    RedisUsers(panel_redis.client()).reconcile()
    other = make_host("kvm2")
    keys = {
        "own queue": f"{down_prefix(host.pk)}orders",
        "own stream": up_stream(host.pk),
        "other queue": f"{down_prefix(other.pk)}orders",
        "other stream": up_stream(other.pk),
        "nudge": NUDGE,
        "anything": "some-key",
    }
    call: Callable[..., Any] = panel_redis.client().execute_command
    found = {
        (command, where)
        for command in every_command(panel_redis)
        for where, key in keys.items()
        if may_run(call, f"kvm-{host.pk}", command, key)
    }
    keyless = {"hello", "auth", "ping", "multi", "exec", "quit", "reset"}  # Redis lets everybody quit and reset
    on_keys = {(command, where) for command, where in found if command not in keyless}
    assert on_keys == {("brpop", "own queue"), ("llen", "own queue"), ("sadd", "own queue"), ("xadd", "own stream")}
    assert {command for command, _ in found} - {command for command, _ in on_keys} <= keyless


@pytest.mark.parametrize(
    "command",
    [
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("EVAL", "return 1", "0"),
        ("SUBSCRIBE", "kvm:panel:anything"),
        ("PUBLISH", "celery.pidbox", "x"),
        ("XREAD", "STREAMS", "OWN", "0"),
        ("XRANGE", "OWN", "-", "+"),
        ("XDEL", "OWN", "1-1"),
        ("XTRIM", "OWN", "MAXLEN", "0"),
        ("DEL", "OWN"),
        ("XADD", "OTHER", "*", "report", "x"),
        ("LPUSH", NUDGE, "1"),
    ],
    ids=" ".join,
)
def test_a_host_s_connection_is_refused(
    panel_redis: RedisServer, host: Host, silent_host: Host, command: tuple[str, ...]
) -> None:
    RedisUsers(panel_redis.client()).reconcile()
    with_password(host)
    RedisUsers(panel_redis.client()).reconcile()
    names = {"OWN": up_stream(host.pk), "OTHER": up_stream(silent_host.pk)}
    client = as_host(panel_redis, host)
    assert allowed(client, "XADD", names["OWN"], "*", "report", "x")
    assert not allowed(client, *(names.get(word, word) for word in command))


def test_a_transaction_smuggles_nothing(panel_redis: RedisServer, host: Host, silent_host: Host) -> None:
    RedisUsers(panel_redis.client()).reconcile()
    with_password(host)
    RedisUsers(panel_redis.client()).reconcile()
    pipeline = as_host(panel_redis, host).pipeline(transaction=True)
    pipeline.sadd(f"{down_prefix(host.pk)}x", "1")
    pipeline.xadd(up_stream(silent_host.pk), {"report": "x"})
    with pytest.raises(ResponseError):
        pipeline.execute()
    assert not panel_redis.client().exists(up_stream(silent_host.pk))


def test_only_active_hosts_have_users(panel_redis: RedisServer) -> None:
    hosts = {status: make_host(f"host-{status}", status=status) for status in HostStatus}
    RedisUsers(panel_redis.client()).reconcile()
    users = {user.split()[1] for user in map(str, panel_redis.run("ACL LIST"))}
    assert {user for user in users if user.startswith("kvm-")} == {f"kvm-{hosts[HostStatus.ACTIVE].pk}"}


def test_a_revoked_host_is_cut_off_in_the_middle_of_its_connection(
    panel_redis: RedisServer, host: Host, operator: User
) -> None:
    with_password(host)
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    client = as_host(panel_redis, host)
    client.ping()
    operations.revoke_host(host, by=operator)
    users.reconcile()
    with pytest.raises((RedisGone, ResponseError)):
        client.ping()


def test_an_agent_that_is_enrolled_anew_between_two_looks_ends_the_connections_of_the_one_before(
    panel_redis: RedisServer, host: Host
) -> None:
    with_password(host)
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    before = as_host(panel_redis, host)
    before.ping()
    Host.objects.update(redis_password_sha256=hashlib.sha256(b"another").hexdigest())
    users.reconcile()
    with pytest.raises((RedisGone, ResponseError)):
        before.ping()
    assert login(panel_redis, f"kvm-{host.pk}", "another").ping()


def test_the_agent_before_leaves_nothing_in_the_way_of_the_next_one_s_reports(
    panel_redis: RedisServer, host: Host, operator: User
) -> None:
    with_password(host)
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    stream, last = up_stream(host.pk), f"{2**64 - 1}-{2**64 - 1}"
    assert allowed(as_host(panel_redis, host), "XADD", stream, last, "report", "x")
    operations.revoke_host(host, by=operator)
    users.reconcile()
    Host.objects.update(status=HostStatus.ACTIVE)
    with_password(Host.objects.get(pk=host.pk))
    users.reconcile()
    assert as_host(panel_redis, host).xadd(stream, {"report": "y"})  # Redis refuses ids that do not grow


def test_a_redis_that_forgot_its_users_has_them_back(panel_redis: RedisServer, host: Host) -> None:
    with_password(host)
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    panel_redis.restart()
    with pytest.raises(redis.AuthenticationError):
        as_host(panel_redis, host).ping()
    users.reconcile()
    assert as_host(panel_redis, host).ping()


def test_a_user_that_somebody_widened_is_narrowed_again(panel_redis: RedisServer, host: Host) -> None:
    with_password(host)
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    panel_redis.run("ACL", "SETUSER", f"kvm-{host.pk}", "+@all", "~*")
    users.reconcile()
    assert not allowed(as_host(panel_redis, host), "FLUSHALL")


def test_a_host_unknown_to_the_rows_is_shut_out(panel_redis: RedisServer) -> None:
    stray = f"kvm-{uuid4()}"
    panel_redis.run("ACL", "SETUSER", stray, "on", "+@all", "~*", f">{PASSWORD}")
    RedisUsers(panel_redis.client()).reconcile()
    with pytest.raises(redis.AuthenticationError):
        login(panel_redis, stray).ping()


def times_set(server: RedisServer) -> int:
    return int(server.run("INFO", "commandstats")["cmdstat_acl|setuser"]["calls"])


def test_when_nothing_changed_nothing_is_set(panel_redis: RedisServer, host: Host) -> None:
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    before = times_set(panel_redis)
    for _ in range(3):
        users.reconcile()
    assert times_set(panel_redis) == before


def test_the_web_process_may_only_nudge(panel_redis: RedisServer, host: Host) -> None:
    RedisUsers(panel_redis.client(), web_password=PASSWORD).reconcile()
    client = login(panel_redis, "web")
    assert allowed(client, "LPUSH", NUDGE, "1")
    assert allowed(client, "LTRIM", NUDGE, "0", "99")
    for command in (
        ("LPUSH", f"{down_prefix(host.pk)}orders", "x"),
        ("XADD", up_stream(host.pk), "*", "report", "x"),
        ("LRANGE", NUDGE, "0", "-1"),
        ("ACL", "LIST"),
        ("KEYS", "*"),
    ):
        assert not allowed(client, *command)


def test_reconciling_a_hundred_hosts_is_cheap(panel_redis: RedisServer) -> None:
    for number in range(100):
        Host.objects.create(name=f"many-{number}", status=HostStatus.ACTIVE, redis_password_sha256="1" * 64)
    users = RedisUsers(panel_redis.client())
    users.reconcile()
    start = time.process_time()
    for _ in range(5):
        users.reconcile()
    assert (time.process_time() - start) / 5 < 0.1


def test_a_redis_that_was_started_anew_has_its_users_again_at_the_worker_s_first_turn(
    settings: Settings, tmp_path: Path, host: Host
) -> None:
    with_password(host)
    with RedisServer() as server:
        use_environment(settings, tmp_path, redis_url=server.url)
        worker = Worker(load_signer(django_settings.ENVIRONMENT.signing_key))
        worker.turn()
        assert as_host(server, host).ping()
        server.kill()
        with pytest.raises(RedisGone):
            worker.turn()
        server.start()
        with pytest.raises(AuthenticationError):
            as_host(server, host).ping()
        worker.turn()
        assert as_host(server, host).ping()
