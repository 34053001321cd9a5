"""The one list of modes. A new mode is a file here and a line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from virtnet.modes.bridge import Bridge
from virtnet.modes.host_only import HostOnly
from virtnet.modes.macvtap import Macvtap
from virtnet.modes.nat import Nat
from virtnet.modes.sriov import Sriov
from virtnet.spec import NetworkSpec

MODES: dict[str, type[NetworkSpec]] = {
    "nat": Nat,
    "bridge": Bridge,
    "host-only": HostOnly,
    "macvtap": Macvtap,
    "sriov": Sriov,
}

AnySpec = Annotated[Nat | Bridge | HostOnly | Macvtap | Sriov, Field(discriminator="mode")]
spec_adapter: TypeAdapter[Nat | Bridge | HostOnly | Macvtap | Sriov] = TypeAdapter(AnySpec)


def read_spec(spec_json: str) -> NetworkSpec | None:
    """The spec in a network's metadata; None for what is none of ours, or of a mode that this version does not know."""
    try:
        return spec_adapter.validate_json(spec_json)
    except ValueError:
        return None
