"""Looking at rows of the panel's database from outside, whichever of the two it is."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

AWAY = (psycopg.OperationalError, sqlite3.OperationalError)  # what a database that does not run raises


class Database:
    """A connection that only reads. `url` as KVMPANEL_DATABASE_URL."""

    def __init__(self, url: str) -> None:
        self._is_sqlite = urlsplit(url).scheme == "sqlite"
        self._connection: Any
        if self._is_sqlite:
            file = urlsplit(url).path[1:]
            self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)
        else:
            self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a SELECT with %s for each value."""
        if self._is_sqlite:
            sql = sql.replace("%s", "?")
            # Django keeps a UUID as 32 hexadecimal digits in SQLite.
            values = tuple(value.hex if isinstance(value, UUID) else value for value in values)
        return list(self._connection.execute(sql, values).fetchall())
