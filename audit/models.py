"""The append-only record: who, when, what, where, before and after, and what became of it.

Names are copied into the event and nothing is a foreign key: the record outlives what it speaks of.
"""

from __future__ import annotations

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _


class Outcome(models.TextChoices):
    DONE = "done", _("done")  # in the panel itself, at once
    REQUESTED = "requested", _("requested")
    KEPT = "kept", _("kept")  # an armed change stays
    UNDO_ASKED = "undo-asked", _("undo asked")  # it goes before its window is over
    APPLIED = "applied", _("applied")
    REFUSED = "refused", _("refused")
    UNDONE = "undone", _("failed, undone")
    TAKEN_BACK = "taken-back", _("undone as asked")
    FAILED = "failed", _("failed")
    EXPIRED = "expired", _("expired")
    CANCELLED = "cancelled", _("cancelled")


class AuditEvent(models.Model):
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor_id = models.BigIntegerField(null=True)  # null: the panel itself, or an agent
    actor_name = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=60, db_index=True)  # e.g. define-network, approve-host, log-in
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    host_id = models.UUIDField(null=True, db_index=True)
    host_name = models.CharField(max_length=200, blank=True)
    object_type = models.CharField(max_length=40, blank=True)  # host, network, guest, user
    object_id = models.CharField(max_length=64, blank=True, db_index=True)
    object_name = models.CharField(max_length=1024, blank=True)
    change_id = models.UUIDField(null=True, db_index=True)
    before = models.TextField(blank=True)
    after = models.TextField(blank=True)
    detail = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.actor_name} {self.action} {self.object_name}: {self.outcome}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("An audit event is written once.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("An audit event is never deleted.")
