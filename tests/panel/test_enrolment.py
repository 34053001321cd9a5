"""An agent becomes a host's agent: once, soon, and with nothing but its token."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEvent
from hosts import operations
from hosts.api import enrol_view
from hosts.enrolment import hash_of
from hosts.models import EnrolmentToken, Host, HostStatus
from hosts.public_key import public_key_from_text
from pages.refused import OperationRefused
from team.models import User
from tests.panel.conftest import use_environment
from tests.panel.factories import Agent

KEY = Agent(uuid4()).public_key


@pytest.fixture(autouse=True)
def _environment(settings: Settings, tmp_path: Path) -> None:
    use_environment(settings, tmp_path, agent_redis_url="redis://10.77.0.2:6379/0")


def post(
    token: str, *, key: str = KEY, address: str = "10.77.0.11", body: str | None = None
) -> tuple[int, dict[str, str]]:
    request = json.dumps({"token": token, "public_key": key, "hostname": "kvm1.lab"}) if body is None else body
    posted = RequestFactory(REMOTE_ADDR=address).post("/enrol/", request, content_type="application/json")
    answer = enrol_view(posted)
    return answer.status_code, json.loads(answer.content)


def test_an_agent_enrols_and_waits_for_approval(operator: User, settings: Settings) -> None:
    host, token = operations.add_host("kvm1", by=operator)
    status, told = post(token)
    host.refresh_from_db()
    assert status == 200
    assert set(told) == {"host", "name", "redis_url", "panel_public_key", "panel_fingerprint"}
    assert (told["host"], told["name"]) == (str(host.pk), "kvm1")
    assert (host.status, host.public_key) == (HostStatus.PENDING, KEY)
    user, _, rest = told["redis_url"].removeprefix("redis://").partition(":")
    password, _, place = rest.rpartition("@")
    assert (user, place) == (f"kvm-{host.pk}", "10.77.0.2:6379/0")
    assert host.redis_password_sha256 == hash_of(password)
    assert public_key_from_text(told["panel_public_key"])
    # The agent has no name of its own: the record has the person whose token it used.
    events = AuditEvent.objects.order_by("id").values_list("action", "actor_name")
    assert list(events) == [("add-host", operator.username), ("enrol-host", operator.username)]


def test_the_token_is_kept_as_a_hash_alone_and_is_long(operator: User) -> None:
    _, token = operations.add_host("kvm1", by=operator)
    kept = EnrolmentToken.objects.get()
    assert len(base64.urlsafe_b64decode(token + "=")) * 8 >= 128
    assert kept.sha256 == hash_of(token)
    assert token not in str(EnrolmentToken.objects.values()) + str(AuditEvent.objects.values())
    assert timedelta(minutes=14) < kept.expires_at - timezone.now() <= timedelta(minutes=15)


def test_used_expired_replaced_and_wrong_tokens_get_one_and_the_same_sentence(operator: User) -> None:
    _, used = operations.add_host("kvm1", by=operator)
    assert post(used)[0] == 200
    _, expired = operations.add_host("kvm2", by=operator)
    EnrolmentToken.objects.filter(sha256=hash_of(expired)).update(expires_at=timezone.now())
    host, replaced = operations.add_host("kvm3", by=operator)
    operations.new_token(host, by=operator)
    answers = [post(token) for token in (used, expired, replaced, "wrong")]
    assert {status for status, _ in answers} == {403}
    assert len({answer["error"] for _, answer in answers}) == 1
    assert Host.objects.filter(status=HostStatus.PENDING).count() == 1


def test_guessing_ten_thousand_tokens_yields_nothing_and_little_record(operator: User) -> None:
    _, token = operations.add_host("kvm1", by=operator)
    answers = {post(secrets.token_urlsafe(32), address="10.9.9.9")[0] for _ in range(10_000)}
    assert answers == {403, 429}
    assert AuditEvent.objects.filter(action="enrol-refused").count() == 10
    assert post(token)[0] == 200  # from its own address the right agent still gets in


def test_a_request_that_is_none_leaves_the_token_good(operator: User) -> None:
    _, token = operations.add_host("kvm1", by=operator)
    assert post(token, key="short")[0] == 400
    assert post(token, key=base64.b64encode(b"x" * 31).decode())[0] == 400
    for body in ("", "[]", "nonsense", "[" * 9000, '{"token": 1}', json.dumps({"token": token}), "x" * 10_001):
        assert post(token, body=body)[0] == 400
    assert post(token)[0] == 200


def test_approval_needs_the_key_that_the_person_saw(operator: User) -> None:
    host, token = operations.add_host("kvm1", by=operator)
    post(token)
    seen = Host.objects.get()
    post(operations.new_token(host, by=operator), key=Agent(uuid4()).public_key)
    with pytest.raises(OperationRefused, match="does not wait for approval"):
        operations.approve_host(seen, by=operator)
    operations.approve_host(Host.objects.get(), by=operator)
    assert Host.objects.get().is_active


def test_the_fingerprint_is_sixteen_groups_of_four(operator: User) -> None:
    host, token = operations.add_host("kvm1", by=operator)
    assert operations.fingerprint(host) == ""
    post(token)
    groups = operations.fingerprint(Host.objects.get()).split(" ")
    assert [len(group) for group in groups] == [4] * 16


def test_revoking_takes_the_password_and_the_tokens(host: Host, operator: User) -> None:
    token = operations.new_token(host, by=operator)
    operations.revoke_host(host, by=operator)
    host.refresh_from_db()
    assert (host.status, host.redis_password_sha256) == (HostStatus.REVOKED, "")
    assert post(token)[0] == 403
    with pytest.raises(OperationRefused, match="revoked already"):
        operations.revoke_host(host, by=operator)


def test_a_name_is_given_once(host: Host, operator: User) -> None:
    with pytest.raises(OperationRefused) as refusal:
        operations.add_host(host.name, by=operator)
    assert refusal.value.problems[0].field == "name"


@pytest.mark.parametrize("name", ["rack 1/kvm", "add", "KVM1", ""])
def test_the_command_line_takes_no_name_that_the_form_refuses(operator: User, name: str) -> None:
    with pytest.raises(CommandError):
        call_command("add_host", name, "--by", operator.username)
    assert not Host.objects.exists()
    call_command("add_host", "kvm-1", "--by", operator.username)
    assert Host.objects.get().name == "kvm-1"


def test_only_operators_touch_the_fleet(host: Host, viewer: User, stranger: User) -> None:
    for person in (viewer, stranger):
        for operation in (operations.new_token, operations.approve_host, operations.revoke_host):
            with pytest.raises(PermissionDenied):
                operation(host, by=person)
        with pytest.raises(PermissionDenied):
            operations.add_host("new", by=person)
    assert not AuditEvent.objects.exists()
