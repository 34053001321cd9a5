"""The words that all owners' writers share: the bridge that is to last, a file's change, and why it cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from virtnet.text import Text

# The first lines of each file of our own.
OURS = (
    "# Made by kvmpanel's agent with the bridge {bridge}, and taken away with it.\n"
    "# What is changed here by hand is lost then.\n"
)


@dataclass(frozen=True)
class LastingBridge:
    """mac, mtu: None leaves them to the kernel. permanent_mac: of the uplink, by which it is found again whatever it is
    called then; None for a link without one, which is found by its name. uplink: None for a bridge without."""

    name: str
    uplink: str | None = None
    mac: str | None = None
    mtu: int | None = None
    permanent_mac: str | None = None

    @property
    def header(self) -> str:
        return OURS.format(bridge=self.name)


class CannotLast(Exception):
    """The bridge cannot be written into the host's configuration; `text` says what stands in the way."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence
