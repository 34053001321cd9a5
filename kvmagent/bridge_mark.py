"""By what a bridge of ours is known: its alias (`ip link show` prints it), which lives and dies with the bridge itself.

It also keeps how the uplink was found, so that the uplink can be put back whenever the bridge is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Mark:
    """network: that the bridge was made for. uplink: that it was made with, and how that was before."""

    network: UUID
    uplink: str | None = None
    was_up: bool = False
    had_ipv6: bool = False

    def alias(self) -> str:
        """At most 15 + 64 characters; the kernel takes 255. No link's name holds a colon."""
        if self.uplink is None:
            return f"kvmpanel:{self.network}"
        up, ipv6 = "up" if self.was_up else "down", "ipv6" if self.had_ipv6 else "no-ipv6"
        return f"kvmpanel:{self.network}:{self.uplink}:{up}:{ipv6}"

    @classmethod
    def read(cls, alias: str | None) -> Mark | None:
        """None for every alias that is not ours."""
        match (alias or "").split(":"):
            case ["kvmpanel", network]:
                uplink, up, ipv6 = None, "down", "no-ipv6"
            case ["kvmpanel", network, str(uplink), ("up" | "down") as up, ("ipv6" | "no-ipv6") as ipv6]:
                pass
            case _:
                return None
        try:
            return cls(UUID(network), uplink, up == "up", ipv6 == "ipv6")
        except ValueError:
            return None
