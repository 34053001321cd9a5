"""The one way into the record. It is called inside the transaction of what it speaks of, so neither is there alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from audit.models import AuditEvent, Outcome
from team.models import User


def record(
    action: str,
    outcome: Outcome,
    *,
    by: User | AnonymousUser | None,
    host: tuple[UUID, str] | None = None,
    object_type: str = "",
    object_id: object = "",
    object_name: str = "",
    change_id: UUID | None = None,
    before: str = "",
    after: str = "",
    detail: dict[str, Any] | None = None,
) -> AuditEvent:
    """Writes one event. `by` is None for what the panel or an agent did by itself; `host` is its id and name.

    Raises what the database raises: the caller's transaction then fails too, and nothing happens unrecorded.
    """
    known = by if isinstance(by, User) else None
    return AuditEvent.objects.create(
        actor_id=known.pk if known else None,
        actor_name=known.get_username()[:200] if known else "",
        action=action,
        outcome=outcome,
        host_id=host[0] if host else None,
        host_name=host[1] if host else "",
        object_type=object_type,
        object_id=str(object_id)[:64],
        object_name=object_name[:1024],
        change_id=change_id,
        before=before,
        after=after,
        detail=detail or {},
    )


def recorded_lately(action: str, *, seconds: float, host: UUID | None = None, object_id: str | None = None) -> int:
    """How many events of `action` the last `seconds` have, about this host or object: to bound what an outsider can
    write into the record."""
    events = AuditEvent.objects.filter(action=action, at__gt=timezone.now() - timedelta(seconds=seconds))
    if host is not None:
        events = events.filter(host_id=host)
    if object_id is not None:
        events = events.filter(object_id=object_id)
    return events.count()
