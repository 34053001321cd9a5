"""Log-ins, failed ones and log-outs. Django offers no other place for them than these signals."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from audit.models import Outcome
from audit.record import record, recorded_lately
from team.models import User

FAILURES_A_MINUTE = 60  # recorded from one address: guesses must not fill the record


def connect() -> None:
    user_logged_in.connect(_logged_in, dispatch_uid="audit.log-in")
    user_logged_out.connect(_logged_out, dispatch_uid="audit.log-out")
    user_login_failed.connect(_login_failed, dispatch_uid="audit.log-in-failed")


def _logged_in(sender: object, request: HttpRequest | None, user: User, **rest: Any) -> None:
    _record("log-in", Outcome.DONE, user, user.get_username(), request)


def _logged_out(sender: object, request: HttpRequest | None, user: User | None, **rest: Any) -> None:
    if user is not None:
        _record("log-out", Outcome.DONE, user, user.get_username(), request)


def _login_failed(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **rest: Any) -> None:
    # The password itself is never here: Django replaces it by asterisks, and only the name is read.
    name = str(credentials.get("username", ""))[:200].replace("\0", "")
    if recorded_lately("log-in-failed", seconds=60, object_id=_address(request)) < FAILURES_A_MINUTE:
        record(
            "log-in-failed",
            Outcome.REFUSED,
            by=None,
            object_type="address",
            object_id=_address(request),
            object_name=name,
            detail={"name": name},
        )


def _record(action: str, outcome: Outcome, user: User, name: str, request: HttpRequest | None) -> None:
    record(
        action,
        outcome,
        by=user,
        object_type="user",
        object_id=user.pk,
        object_name=name,
        detail={"address": _address(request)},
    )


def _address(request: HttpRequest | None) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))[:64] if request is not None else ""
