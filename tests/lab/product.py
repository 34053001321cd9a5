"""The whole product on a lab, as a team deploys it: with PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from redis import Redis

from lab import Lab, LabHost
from lab.panel import LabPanel
from lab.supervisor import Service
from tests.lab.person import Person


@dataclass
class Product:
    """person: the first operator, logged in. redis: as its administrator, over the unix socket."""

    lab: Lab
    panel: LabPanel

    @cached_property
    def person(self) -> Person:
        return Person(self.panel)

    @cached_property
    def redis(self) -> Redis:
        return Redis.from_url(self.panel.redis.worker_url, decode_responses=True)

    def service(self, name: str) -> Service:
        """redis, postgres, web, worker, collector, agent-hosta …"""
        return self.panel.services[name]

    def host_id(self, host: LabHost) -> UUID:
        ((identity,),) = self.panel.rows("SELECT id FROM hosts_host WHERE name = %s", host.name)
        return UUID(str(identity))


@contextmanager
def running(lab: Lab) -> Iterator[LabPanel]:
    """The panel with every host of the lab enrolled, until the block ends."""
    panel = LabPanel(lab, postgres=True)
    try:
        panel.up()
        for host in lab.hosts:
            panel.enrol(host)
        for host in lab.hosts:
            panel.wait_for_facts(host)
        yield panel
    except BaseException:
        print(*(last_lines(log) for log in sorted(panel.directory.glob("*.log"))), sep="\n")
        raise
    finally:
        panel.down()


def last_lines(log: Path) -> str:
    """What a program said last: the lab takes its files away when it goes."""
    return "\n".join([f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-60:]])
