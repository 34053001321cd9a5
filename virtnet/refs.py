"""How an order names a libvirt object: the UUID finds it, the name is for people."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from virtnet.fields import OwnName


class NetworkRef(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: UUID
    name: OwnName


class DomainRef(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: UUID
    name: OwnName
