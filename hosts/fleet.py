"""The overview's rows: all hosts in one query, counted by the database, so that no host's facts are parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Func, IntegerField, Q, QuerySet
from django.db.models.fields.json import KT, KeyTransform
from django.db.models.sql.compiler import SQLCompiler
from pydantic import BaseModel, ValidationError

from hosts.models import Host, HostStatus
from virtnet.facts import Versions
from virtnet.text import Text

Read = TypeVar("Read", bound=BaseModel)


class _Length(Func):
    """How many entries a JSON array has."""

    function = "json_array_length"
    output_field = IntegerField()

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, function="jsonb_array_length", **context)


@dataclass(frozen=True)
class FleetRow:
    host: Host
    versions: Versions
    libvirt_error: Text | None
    links: int
    networks: int
    guests: int


@dataclass(frozen=True)
class Totals:
    hosts: int
    active: int
    silent: int
    waiting: int  # for an agent, or for a person to approve

    @property
    def all_are_silent(self) -> bool:
        """When several hosts fall silent together, the way from them to the panel is the likelier cause."""
        return self.silent > 1 and not self.active


def fleet(hosts: QuerySet[Host]) -> list[FleetRow]:
    """A row for each host, in one query."""
    counted = hosts.defer("facts").annotate(
        versions_json=KT("facts__versions"),
        libvirt_error_json=KT("facts__libvirt_error"),
        links_count=_Length(KeyTransform("links", "facts")),
        guests_count=_Length(KeyTransform("domains", "facts")),
        networks_count=Count("networks", filter=Q(networks__removed_at=None)),
    )
    # A query that groups leaves out the model's own order.
    counted = counted.order_by("name")
    return [
        FleetRow(
            host=host,
            versions=_versions(host.versions_json),
            libvirt_error=_text(host.libvirt_error_json),
            links=host.links_count or 0,
            networks=host.networks_count,
            guests=host.guests_count or 0,
        )
        for host in counted
    ]


def totals(rows: list[FleetRow]) -> Totals:
    silent = sum(row.host.is_silent for row in rows)
    return Totals(
        hosts=len(rows),
        active=sum(row.host.is_active for row in rows) - silent,
        silent=silent,
        waiting=sum(row.host.status in {HostStatus.WAITING, HostStatus.PENDING} for row in rows),
    )


def _versions(found: str | None) -> Versions:
    return _read(Versions, found) or Versions()


def _text(found: str | None) -> Text | None:
    return _read(Text, found)


def _read(kind: type[Read], found: str | None) -> Read | None:
    """None for what another version of the panel wrote: one host must not take the page from all others."""
    # SQLite says JSON's null as the word.
    if not found or found == "null":
        return None
    try:
        return kind.model_validate_json(found)
    except ValidationError:
        return None
