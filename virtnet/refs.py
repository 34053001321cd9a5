"""How an order names a libvirt object: the UUID finds it, the name is for people."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from virtnet.fields import ForeignName


class NetworkRef(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: UUID
    name: Annotated[ForeignName, Field(min_length=1)]


class DomainRef(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: UUID
    name: Annotated[ForeignName, Field(min_length=1)]
