"""What every action must say about itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from virtnet.facts import HostFacts
from virtnet.host import Host
from virtnet.spec import Problem
from virtnet.text import Text


class Action(BaseModel):
    """One intent. Each knows what stands in its way and how it is done; there are no flags."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str

    def title(self) -> Text:
        """What it does, for the list of changes."""
        raise NotImplementedError

    @property
    def new_mac(self) -> str | None:
        """The MAC address that a card or a VF gets by it."""
        return None

    def problems(self, facts: HostFacts) -> list[Problem]:
        """What stands in the way on this host."""
        raise NotImplementedError

    def notes(self, facts: HostFacts) -> list[Problem]:
        """What a person should know about this host before, though nothing stands in the way."""
        return []

    def apply(self, host: Host) -> None:
        raise NotImplementedError
