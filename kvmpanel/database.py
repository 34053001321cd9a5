"""The database of the panel: SQLite for one machine, PostgreSQL for a team."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def database_settings(url: str) -> dict[str, Any]:
    """Django's DATABASES["default"] for a sqlite:// or postgresql:// URL; ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path[1:]) or ":memory:",
            "OPTIONS": {
                # A writer waits for another instead of failing, and takes its lock when the transaction begins:
                # a lock that is upgraded half-way cannot wait and says "database is locked" at once.
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if parts.scheme in {"postgres", "postgresql"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            # libpq's own way to name a directory with a unix socket: ?host=/run/postgresql
            "HOST": parse_qs(parts.query).get("host", [unquote(parts.hostname or "")])[0],
            "PORT": str(parts.port or ""),
            "CONN_HEALTH_CHECKS": True,
            # A page answers 503 within 2 s when the database is away, so a connection may not take longer.
            "OPTIONS": {"connect_timeout": 2},
        }
    raise ValueError(f"KVMPANEL_DATABASE_URL: {parts.scheme}:// is neither sqlite:// nor postgresql://")
