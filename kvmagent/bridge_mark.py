"""By what a bridge of ours is known: its alias (`ip link show` prints it), which lives and dies with the bridge itself.

It also keeps how the uplinks were found, so that they can be put back whenever the bridge is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True)
class Found:
    """An uplink as it was before it became a port. mtu: its own, once the panel has set another."""

    name: str
    was_up: bool = False
    had_ipv6: bool = False
    mtu: int | None = None


@dataclass(frozen=True)
class Mark:
    """network: that the bridge was made for. uplinks: those that it was made with, the first first; at most two."""

    network: UUID
    uplinks: tuple[Found, ...] = ()

    @property
    def uplink(self) -> str | None:
        """The first, whose addresses the bridge took over."""
        return self.uplinks[0].name if self.uplinks else None

    @property
    def second(self) -> Found | None:
        return self.uplinks[1] if len(self.uplinks) > 1 else None

    @property
    def names(self) -> list[str]:
        return [uplink.name for uplink in self.uplinks]

    @property
    def mtus(self) -> dict[str, int]:
        """Uplink -> its own, of those that the panel has given another."""
        return {uplink.name: uplink.mtu for uplink in self.uplinks if uplink.mtu is not None}

    def alias(self) -> str:
        """At most 117 characters; the kernel takes 255. No link's name holds a colon."""
        words = ["kvmpanel", str(self.network)]
        for uplink in self.uplinks:
            mtu = f"-{uplink.mtu}" if uplink.mtu is not None else ""
            words += [
                uplink.name,
                f"up{mtu}" if uplink.was_up else f"down{mtu}",
                "ipv6" if uplink.had_ipv6 else "no-ipv6",
            ]
        return ":".join(words)

    def with_second(self, second: Found | None) -> Mark:
        """The same bridge with another second uplink, or with none."""
        return Mark(self.network, (*self.uplinks[:1], *([second] if second is not None else [])))

    def with_mtus(self, mtus: Mapping[str, int]) -> Mark:
        """mtus: of the uplinks, as they are before the panel sets the first other one."""
        return Mark(
            self.network,
            tuple(
                replace(one, mtu=mtus[one.name]) if one.mtu is None and one.name in mtus else one
                for one in self.uplinks
            ),
        )

    @classmethod
    def read(cls, alias: str | None) -> Mark | None:
        """None for every alias that is not ours."""
        ours, _, rest = (alias or "").partition(":")
        network, *about = rest.split(":")
        uplinks = [_found(about[at : at + 3]) for at in range(0, len(about), 3)]
        if ours != "kvmpanel" or len(uplinks) > 2:
            return None
        found = tuple(uplink for uplink in uplinks if uplink is not None)
        try:
            return cls(UUID(network), found) if len(found) == len(uplinks) else None
        except ValueError:
            return None


def _found(words: list[str]) -> Found | None:
    match words:
        case [name, state, ("ipv6" | "no-ipv6") as ipv6]:
            up, _, mtu = state.partition("-")
            if up in {"up", "down"} and (not mtu or (mtu.isascii() and mtu.isdecimal())):
                return Found(name, up == "up", ipv6 == "ipv6", int(mtu) if mtu else None)
    return None
