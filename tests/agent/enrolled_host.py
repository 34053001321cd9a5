"""An enrolled host without a panel: its files, its keys, orders as the panel would seal them, and its reports."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

from kvmagent.keys import fingerprint, make_host_key, public_key_text
from kvmagent.settings import Settings
from virtnet.actions import AnyAction, SetNetworkAutostart
from virtnet.channel import CARRY_OUT, QUEUE, STREAM_FIELD, down_prefix, up_stream
from virtnet.envelope import seal, unseal
from virtnet.messages import AnyReport, Order, Ping, Report
from virtnet.refs import NetworkRef

# The network that libvirt's test:///default is born with.
DEFAULT = NetworkRef(uuid=UUID("dd8fe884-6c02-601e-7551-cca97df1c5df"), name="default")


class EnrolledHost:
    def __init__(self, directory: Path, *, host: UUID | None = None, redis_url: str = "redis://127.0.0.1:1/0") -> None:
        self.etc = directory / "etc"
        self.state = directory / "state"
        self.panel_key = Ed25519PrivateKey.generate()
        self.key = make_host_key(self.etc / "host_key.pem")
        self.settings = Settings(
            host=host or uuid4(),
            name="attic",
            panel="https://panel.test",
            redis_url=redis_url,
            panel_public_key=public_key_text(self.panel_key.public_key()),
        )
        (self.etc / "agent.json").write_text(self.settings.model_dump_json())

    @property
    def environment(self) -> dict[str, str]:
        return {"KVMAGENT_ETC": str(self.etc), "KVMAGENT_STATE": str(self.state)}

    def order(self, nonce: str, action: AnyAction | None = None, **changed: Any) -> Order:
        now = datetime.now(UTC)
        order = Order(
            order=uuid4(),
            host=self.settings.host,
            seq=1,
            action=action or SetNetworkAutostart(network=DEFAULT, autostart=True),
            facts_digest="",
            issued_at=now,
            not_after=now + timedelta(minutes=15),
            nonce=nonce,
        )
        return order.model_copy(update=changed)

    def ping(self, nonce: str) -> Ping:
        return Ping(ping=uuid4(), host=self.settings.host, nonce=nonce)

    def sealed(self, message: BaseModel, key: Ed25519PrivateKey | None = None) -> str:
        key = key or self.panel_key
        return seal(message, "order", key=fingerprint(key.public_key()), sign=key.sign)

    @property
    def queue(self) -> str:
        return f"{down_prefix(self.settings.host)}{QUEUE}"

    @property
    def stream(self) -> str:
        return up_stream(self.settings.host)

    def reports(self, client: redis.Redis) -> list[Report]:
        """All that lies in the host's stream, each with its signature checked."""
        entries: Any = client.xrange(self.stream)
        verify = self.key.public_key().verify
        return [unseal(fields[STREAM_FIELD.encode()], Report, "report", verify=verify) for _, fields in entries]

    def told(self, client: redis.Redis, kind: str) -> list[AnyReport]:
        return [report.report for report in self.reports(client) if report.report.kind == kind]


def celery_message(sealed: object, task: str = CARRY_OUT) -> bytes:
    """What Celery lays in the queue for a call of a task (protocol 2)."""

    call = str(uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps([[sealed], {}, {"callbacks": None}]).encode()).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"lang": "py", "task": task, "id": call, "root_id": call, "retries": 0, "eta": None},
            "properties": {
                "correlation_id": call,
                "delivery_mode": 2,
                "delivery_tag": str(uuid4()),
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "priority": 0,
                "body_encoding": "base64",
            },
        }
    ).encode()
