"""Writes to the fleet. Each is one transaction with its audit event; the worker brings Redis in line after it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import Outcome
from audit.record import record
from hosts.broker import nudge
from hosts.enrolment import TOKEN_MINUTES, hash_of
from hosts.models import EnrolmentToken, Host, HostStatus
from hosts.public_key import fingerprint as fingerprint_of
from hosts.public_key import in_groups, public_key_from_text
from pages.refused import refused
from team.models import User
from team.permissions import check_may_change
from virtnet.text import text


def add_host(name: str, *, by: User) -> tuple[Host, str]:
    """A host that waits for its agent, and the enrolment token, which is shown once. Raises OperationRefused for a
    taken name."""
    check_may_change(by)
    try:
        with transaction.atomic():
            host = Host.objects.create(name=name)
            _record("add-host", host, by)
            return host, _make_token(host, by)
    except IntegrityError as error:
        sentence = text("There is a host %(host)s already.", host=name)
        raise refused(sentence, text("Choose another name."), field="name") from error


@transaction.atomic
def new_token(host: Host, *, by: User) -> str:
    """Another token; those given before are no longer good. An active host stays active until it is used."""
    check_may_change(by)
    locked = _lock(host)
    EnrolmentToken.objects.filter(host=locked, used_at=None).delete()
    _record("new-enrolment-token", locked, by)
    return _make_token(locked, by)


@transaction.atomic
def approve_host(host: Host, *, by: User) -> None:
    """Lets a pending host work, after a person has compared the fingerprint. Raises OperationRefused when it is not
    pending."""
    check_may_change(by)
    locked = _lock(host)
    # The key that the person saw must still be the one: an agent may have enrolled anew in between.
    if locked.status != HostStatus.PENDING or locked.public_key != host.public_key:
        raise refused(
            text("%(host)s does not wait for approval with this key.", host=locked.name),
            text("Open the host's page again and compare the fingerprint."),
        )
    _set_status(locked, HostStatus.ACTIVE)
    _record("approve-host", locked, by, fingerprint=fingerprint(locked))
    host.status = locked.status
    transaction.on_commit(nudge)


@transaction.atomic
def revoke_host(host: Host, *, by: User) -> None:
    """Takes a host's trust away. The worker shuts it out of Redis and closes its open changes within 5 s."""
    check_may_change(by)
    locked = _lock(host)
    if locked.status == HostStatus.REVOKED:
        raise refused(text("%(host)s is revoked already.", host=locked.name))
    EnrolmentToken.objects.filter(host=locked, used_at=None).delete()
    locked.redis_password_sha256 = ""
    locked.save(update_fields=["redis_password_sha256"])
    _set_status(locked, HostStatus.REVOKED)
    _record("revoke-host", locked, by)
    host.status = locked.status
    transaction.on_commit(nudge)


def fingerprint(host: Host) -> str:
    """What a person compares with what the agent printed; "" for a host that no agent has enrolled as."""
    return in_groups(fingerprint_of(public_key_from_text(host.public_key))) if host.public_key else ""


def _lock(host: Host) -> Host:
    return Host.objects.select_for_update().get(pk=host.pk)


def _set_status(host: Host, status: HostStatus) -> None:
    host.status = status
    host.save(update_fields=["status"])


def _make_token(host: Host, by: User) -> str:
    token = secrets.token_urlsafe(32)  # 256 bits
    expires_at = timezone.now() + timedelta(minutes=TOKEN_MINUTES)
    EnrolmentToken.objects.create(host=host, sha256=hash_of(token), created_by=by, expires_at=expires_at)
    return token


def _record(action: str, host: Host, by: User, **detail: str) -> None:
    record(
        action,
        Outcome.DONE,
        by=by,
        host=(host.pk, host.name),
        object_type="host",
        object_id=host.pk,
        object_name=host.name,
        detail=detail,
    )
