"""The one list of modes. A new mode is a file here and a line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from virtnet.modes.host_only import HostOnly
from virtnet.modes.nat import Nat
from virtnet.spec import NetworkSpec

MODES: dict[str, type[NetworkSpec]] = {"nat": Nat, "host-only": HostOnly}

AnySpec = Annotated[Nat | HostOnly, Field(discriminator="mode")]
spec_adapter: TypeAdapter[Nat | HostOnly] = TypeAdapter(AnySpec)
