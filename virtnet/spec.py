"""What every mode must say about itself."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, Self
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict

from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.fields import NetworkName
from virtnet.firewall import NetworkRules
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.text import Text


class Problem(BaseModel):
    """What stands in the way on this host, with its fix; `field` names the field of the spec that it belongs to. As one
    of `notes` it stands in nobody's way: it is what a person should know before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Text
    fix: Text | None = None
    field: str = ""


@dataclass(frozen=True)
class Answer:
    """Whether packets get there, and why."""

    reachable: Literal["yes", "no", "depends"]
    because: Text
    measured_by: str | None = None  # the test that shows it with packets of a guest, as pytest names it


def yes(because: Text) -> Answer:
    return Answer("yes", because)


def no(because: Text) -> Answer:
    return Answer("no", because)


def depends(because: Text) -> Answer:
    return Answer("depends", because)


@dataclass(frozen=True)
class Reachability:
    """Who reaches whom: the cells of the comparison table."""

    guest_to_internet: Answer
    guest_to_host: Answer
    guest_to_lan: Answer
    lan_to_guest: Answer
    guest_to_guest: Answer

    def rows(self) -> list[tuple[str, Answer]]:
        """The cells in order, each with its name, e.g. ("guest_to_host", Answer(...))."""
        return [(cell.name, getattr(self, cell.name)) for cell in fields(self)]

    def measured_by(self, test: str, *cells: str) -> Reachability:
        """The same, each of these cells shown by that test, of none named all, e.g.
        "tests/lab/test_macvtap_on_a_host.py::test_who_reaches_whom"."""
        shown = {cell: replace(answer, measured_by=test) for cell, answer in self.rows() if not cells or cell in cells}
        return replace(self, **shown)


class NetworkSpec(BaseModel):
    """A wanted network. Each mode is one subclass, in a file of its own; nothing else knows what a mode means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: ClassVar[Text]
    summary: ClassVar[Text]  # one sentence
    how: ClassVar[Text]  # one paragraph: what it is and how packets travel
    diagram: ClassVar[tuple[str, ...]]  # the hops from a guest outwards, e.g. ("guest", "tap", "virbr1", "host", "LAN")
    good: ClassVar[tuple[Text, ...]]
    bad: ClassVar[tuple[Text, ...]]
    suits: ClassVar[Text]
    performance: ClassVar[Text]  # a class in words, never a percentage: published figures are tied to their hardware
    by_hand: ClassVar[tuple[str, ...]]  # the commands that the brief's readers know

    mode: str
    name: NetworkName

    @classmethod
    def examples(cls) -> tuple[NetworkSpec, ...]:
        """A spec for each line that the mode has in the comparison of the modes: one, unless a choice inside the mode
        decides who reaches whom."""
        raise NotImplementedError

    @classmethod
    def lacks(cls, facts: HostFacts) -> list[Problem]:
        """What this host lacks for any network of the mode, whatever the spec says; empty where it has all."""
        return []

    @classmethod
    def suggest(cls, facts: HostFacts) -> dict[str, str]:
        """Values for an empty form that would work on this host, by field."""
        raise NotImplementedError

    def title(self) -> Text:
        """The mode as it is spoken of, with the choice that matters where it has one."""
        return self.label

    def effect(self) -> Text:
        """In one sentence what this very spec means."""
        return self.summary

    def caution(self) -> Text | None:
        """What a person must know before the choice, because it would surprise them after it; None for no surprise."""
        return None

    def made_up_by(self) -> str | None:
        """The mode of a second card that makes up for what `caution` says; None where none does."""
        return None

    @classmethod
    def like(cls, network: NetworkFacts) -> NetworkSpec | None:
        """An example that reaches whom a found network of this mode reaches; None where it cannot be told."""
        examples = cls.examples()
        return examples[0] if len(examples) == 1 else None

    @classmethod
    def like_card(cls, card: InterfaceFacts) -> NetworkSpec | None:
        """The same for a card that is plugged into no network; None for a card of another mode."""
        return None

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        """Whether a libvirt <network>, whoever wrote it, is of this mode."""
        raise NotImplementedError

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        """What stands in the way on this host; empty when the spec can be applied. `ref` itself is never in its own
        way."""
        raise NotImplementedError

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        """What a person should know about this host before the spec is applied, though nothing stands in its way: what
        drops the guests' packets, say. Nothing of it is changed silently."""
        return []

    def as_found(self, facts: HostFacts) -> Self:
        """The spec with what the host says otherwise, where an earlier version did not write it down."""
        return self

    def drift(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        """What of the host's own links is not as `apply` made it any more, though the network is there."""
        return []

    def reachability(self) -> Reachability:
        raise NotImplementedError

    def libvirt_xml(self, ref: NetworkRef) -> str:
        """The <network> document, elements in the order of libvirt's formatnetwork, with the panel's metadata."""
        raise NotImplementedError

    def firewall_rules(self) -> NetworkRules | None:
        """The network's part of our nftables table; None when it has none."""
        return None

    def apply(self, host: Host, ref: NetworkRef) -> None:
        """Make it so: define and start. Every verb is safe to repeat and is undone if a later one fails."""
        raise NotImplementedError

    def update(self, host: Host, ref: NetworkRef) -> None:
        """Bring a defined network to this spec."""
        raise NotImplementedError

    def remove(self, host: Host, ref: NetworkRef) -> None:
        """Take it off the host: destroy and undefine, and all that apply() made beside it."""
        raise NotImplementedError
