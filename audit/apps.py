"""The audit app listens to log-ins from the start."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import logins

        logins.connect()
