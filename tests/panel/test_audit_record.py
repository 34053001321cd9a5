"""The record: written once, for log-ins too, and by the command line."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory

from audit.models import AuditEvent, Outcome
from audit.record import record
from team.models import Role, User
from team.permissions import may_change

PASSWORD = "correct horse battery staple"


def test_an_event_is_written_once(operator: User) -> None:
    event = record("log-in", Outcome.DONE, by=operator)
    with pytest.raises(TypeError, match="written once"):
        event.save()
    with pytest.raises(TypeError, match="never deleted"):
        event.delete()


def test_log_in_and_log_out_are_recorded(operator: User) -> None:
    client = Client()
    assert client.login(request=RequestFactory(REMOTE_ADDR="10.1.2.3").post("/"), username="olga", password=PASSWORD)
    client.logout()
    out, came = AuditEvent.objects.all()
    assert (came.action, came.actor_name, came.outcome) == ("log-in", "olga", Outcome.DONE)
    assert (out.action, out.actor_name) == ("log-out", "olga")


def test_a_failed_log_in_is_recorded_without_the_password(operator: User) -> None:
    request = RequestFactory(REMOTE_ADDR="10.1.2.3").post("/")
    assert authenticate(request, username="olga", password="wrong guess") is None
    event = AuditEvent.objects.get()
    assert (event.action, event.outcome, event.actor_id) == ("log-in-failed", Outcome.REFUSED, None)
    assert (event.object_id, event.object_name) == ("10.1.2.3", "olga")
    assert "wrong guess" not in str(AuditEvent.objects.values())


def test_guesses_do_not_fill_the_record(operator: User) -> None:
    request = RequestFactory(REMOTE_ADDR="10.1.2.3").post("/")
    for _ in range(70):
        authenticate(request, username="olga", password="wrong guess")
    assert AuditEvent.objects.count() == 60


def test_add_user_prints_a_password_that_works(db: None) -> None:
    out = StringIO()
    call_command("add_user", "nadia", role="operator", stdout=out)
    user = authenticate(RequestFactory().post("/"), username="nadia", password=out.getvalue().strip())
    assert isinstance(user, User)
    assert may_change(user)
    assert AuditEvent.objects.filter(action="add-user", object_name="nadia").count() == 1


def test_add_user_reads_a_password(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(PASSWORD + "\n"))
    out = StringIO()
    call_command("add_user", "vera", "--role=viewer", "--password-stdin", stdout=out)
    user = User.objects.get(username="vera")
    assert user.check_password(PASSWORD)
    assert [binding.role for binding in user.role_bindings.all()] == [Role.VIEWER]
    assert PASSWORD not in out.getvalue()


@pytest.mark.parametrize("password", ["short", "password1234"])
def test_add_user_refuses_a_weak_password(db: None, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(password + "\n"))
    with pytest.raises(CommandError):
        call_command("add_user", "vera", "--role=viewer", "--password-stdin")
    assert not User.objects.exists()


def test_add_user_refuses_a_name_that_is_taken(operator: User) -> None:
    with pytest.raises(CommandError, match="already exists"):
        call_command("add_user", "olga", "--role=viewer")
