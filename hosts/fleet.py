"""The overview's rows: all hosts in one query of columns, so that no host's facts are read."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from hosts.models import Host, HostStatus


@dataclass(frozen=True)
class FleetRow:
    host: Host
    networks: int


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
    counted = hosts.defer("facts").annotate(networks_count=Count("networks", filter=Q(networks__removed_at=None)))
    # A query that groups leaves out the model's own order.
    return [FleetRow(host, host.networks_count) for host in counted.order_by("name")]


def totals(rows: list[FleetRow]) -> Totals:
    silent = sum(row.host.is_silent for row in rows)
    return Totals(
        hosts=len(rows),
        active=sum(row.host.is_active for row in rows) - silent,
        silent=silent,
        waiting=sum(row.host.status in {HostStatus.WAITING, HostStatus.PENDING} for row in rows),
    )
