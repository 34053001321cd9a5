"""The people, the hosts and the browsers of the panel's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from hosts.models import Host
from networks.signing import make_signing_key
from team.models import Role, RoleBinding, User
from tests.catalogues import compile_catalogues
from tests.panel.factories import Agent, make_host
from tests.redis_server import RedisServer


def make_user(name: str, role: Role | None = None) -> User:
    user = User.objects.create_user(username=name, password="correct horse battery staple")
    if role is not None:
        RoleBinding.objects.create(user=user, role=role)
    return user


@pytest.fixture(scope="session", autouse=True)
def catalogues() -> None:
    """Django reads them when a language is first asked for."""
    compile_catalogues()


@pytest.fixture
def operator(db: None) -> User:
    """May look and change."""
    return make_user("olga", Role.OPERATOR)


@pytest.fixture
def viewer(db: None) -> User:
    """May look."""
    return make_user("viktor", Role.VIEWER)


@pytest.fixture
def stranger(db: None) -> User:
    """Has an account and no role."""
    return make_user("stella")


@pytest.fixture
def agent() -> Agent:
    """The agent of `host`."""
    return Agent(uuid4())


@pytest.fixture
def host(db: None, agent: Agent) -> Host:
    """An active host, heard of a moment ago."""
    return make_host("kvm1", agent=agent)


@pytest.fixture
def silent_host(db: None) -> Host:
    """An active host that has not been heard of for an hour."""
    return make_host("kvm2", silent=True)


@pytest.fixture
def operator_client(operator: User) -> Client:
    return _logged_in(operator)


@pytest.fixture
def viewer_client(viewer: User) -> Client:
    return _logged_in(viewer)


@pytest.fixture
def stranger_client(stranger: User) -> Client:
    return _logged_in(stranger)


def _logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def panel_redis(redis_server: RedisServer, settings: Settings, tmp_path: Path) -> RedisServer:
    """An empty Redis that the panel is told of, and a signing key of its own."""
    redis_server.run("FLUSHALL")
    for user in set(redis_server.run("ACL USERS")) - {"default", "panel", b"default", b"panel"}:
        redis_server.run("ACL DELUSER", user)
    use_environment(settings, tmp_path, redis_url=redis_server.url)
    return redis_server


def use_environment(settings: Settings, directory: Path, **values: object) -> None:
    """The panel's environment for one test, with keys that were made in `directory`."""
    private, public = directory / "signing_key.pem", directory / "signing_key.pub"
    make_signing_key(private, public)
    keys = {"signing_key": private, "signing_public_key": public}
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={**keys, **values})
