"""The words that all owners' writers share: the bridge that is to last, a file's change, and why it cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from virtnet.text import Text

# The first lines of each file of our own.
OURS = (
    "# Made by kvmpanel's agent with the bridge {bridge}, and taken away with it.\n"
    "# What is changed here by hand is lost then.\n"
)


BEHIND = 40  # the second uplink's priority in STP: the lower is preferred, and 32 is usual
USUAL_MTU = 1500
SECOND = "port2"  # what the second uplink's own files are called by


@dataclass(frozen=True)
class LastingBridge:
    """mac, mtu: None leaves them to the kernel. permanent_mac: of the uplink, by which it is found again whatever it is
    called then; None for a link without one, which is found by its name. uplink: None for a bridge without. second: the
    second uplink. forward_delay: seconds, 0 without STP. sets_mtu: it was asked for, whatever the uplink's own is."""

    name: str
    uplink: str | None = None
    mac: str | None = None
    mtu: int | None = None
    permanent_mac: str | None = None
    second: str | None = None
    second_permanent_mac: str | None = None
    forward_delay: int = 0
    sets_mtu: bool = False

    @property
    def written_mtu(self) -> int | None:
        """None where the usual one comes by itself."""
        return self.mtu if self.sets_mtu or self.mtu != USUAL_MTU else None

    @property
    def stp(self) -> bool:
        return self.forward_delay > 0

    @property
    def ports(self) -> list[tuple[str, str, str | None]]:
        """(what its own files call it, its name, its permanent MAC address) of each uplink, the first first."""
        found = [("port", self.uplink, self.permanent_mac), (SECOND, self.second, self.second_permanent_mac)]
        return [(called, name, mac) for called, name, mac in found if name is not None]

    @property
    def header(self) -> str:
        return OURS.format(bridge=self.name)


class CannotLast(Exception):
    """The bridge cannot be written into the host's configuration; `text` says what stands in the way."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence
