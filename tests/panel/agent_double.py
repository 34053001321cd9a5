"""The least of an agent: takes Celery messages from its queue through kombu, and appends signed reports."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty
from uuid import UUID

from django.conf import settings
from kombu import Connection

from hosts.broker import host_connection
from hosts.public_key import public_key_from_text
from tests.panel.factories import Agent
from tests.redis_server import RedisServer
from virtnet.channel import QUEUE, STREAM_FIELD, VERDICTS, down_prefix, up_stream
from virtnet.envelope import unseal
from virtnet.messages import AnyReport, Order, Ping, Verdict


@dataclass(frozen=True)
class Received:
    """A Celery message: the task that it names, and its one argument."""

    task: str
    sealed: str

    def order(self) -> Order:
        """Raises what `unseal` raises for one that is not the panel's."""
        panel = public_key_from_text(settings.ENVIRONMENT.signing_public_key.read_text().strip())
        return unseal(self.sealed, Order, "order", verify=panel.verify)

    def ping(self) -> Ping:
        panel = public_key_from_text(settings.ENVIRONMENT.signing_public_key.read_text().strip())
        return unseal(self.sealed, Ping, "order", verify=panel.verify)


def receive(server: RedisServer, host: UUID) -> list[Received]:
    """All that waits in this host's queue, taken."""
    with host_connection(server.url, host) as connection:
        return _receive(connection)


def _receive(connection: Connection) -> list[Received]:
    taken: list[Received] = []
    with connection.SimpleQueue(QUEUE) as queue:
        while True:
            try:
                message = queue.get(block=False)
            except (Empty, queue.Empty):
                return taken
            message.ack()
            args, kwargs, _ = message.payload
            assert kwargs == {}
            taken.append(Received(message.headers["task"], *args))


def verdicts(server: RedisServer, host: UUID) -> list[Verdict]:
    """All that lie in the host's list, taken. Raises what `unseal` raises for one that is not the panel's."""
    panel = public_key_from_text(settings.ENVIRONMENT.signing_public_key.read_text().strip())
    taken: list[Verdict] = []
    while (sealed := server.run("RPOP", f"{down_prefix(host)}{VERDICTS}")) is not None:
        taken.append(unseal(sealed, Verdict, "order", verify=panel.verify))
    return taken


def waiting(server: RedisServer, host: UUID) -> int:
    return int(server.run("LLEN", f"{down_prefix(host)}{QUEUE}"))


def report(server: RedisServer, agent: Agent, *reports: AnyReport) -> None:
    """Appended to the host's stream, each with the next number."""
    for said in reports:
        append(server, agent.host, agent.sealed(agent.report(said)))


def append(server: RedisServer, host: UUID, sealed: str | bytes) -> None:
    server.run("XADD", up_stream(host), "*", STREAM_FIELD, sealed)  # type: ignore[arg-type]
