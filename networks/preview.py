"""What an action would do on a host, before anybody asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pages.diff import DiffLine, diff
from virtnet.actions import Action
from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.forecast import Forecast, forecast
from virtnet.modes import MODES, read_spec
from virtnet.plan import plan
from virtnet.spec import NetworkSpec, Problem
from virtnet.verbs import Verb


@dataclass(frozen=True)
class Preview:
    """`verbs` in order, `commands` as a person would type them, the `problems` that stand in the way, the `notes` on
    what a person should know before, and the `forecast` of the host's own links and files."""

    verbs: list[Verb]
    commands: str
    problems: list[Problem]
    notes: list[Problem]
    forecast: Forecast

    @property
    def links_diff(self) -> list[DiffLine]:
        lines = diff(self.forecast.before, self.forecast.after)
        return [line for line in lines if line.kind != "place"]  # it is short, and names no places

    @property
    def files_diff(self) -> list[tuple[str, list[DiffLine]]]:
        """(path, before and after) of each file."""
        return [(file.path, diff(file.before or "", file.after or "")) for file in self.forecast.files]


def preview(action: Action, facts: HostFacts) -> Preview:
    verbs = plan(action, facts)
    commands = as_script(verb.command for verb in verbs)
    return Preview(verbs, commands, action.problems(facts), action.notes(facts), forecast(action, facts))


def as_script(commands: Iterable[str]) -> str:
    return "\n".join(command for command in commands if command)


def spec_of(network: NetworkFacts) -> NetworkSpec | None:
    """The spec of a network of the panel; for a foreign one an example of its mode that is like it."""
    if network.spec is not None:
        return read_spec(network.spec)
    mode = MODES.get(network.mode)
    return mode.like(network) if mode is not None else None


def spec_of_card(facts: HostFacts, card: InterfaceFacts) -> NetworkSpec | None:
    """A spec that reaches whom the card reaches; None where it cannot be told."""
    if card.type == "network":
        network = facts.network(card.source or "")
        return spec_of(network) if network is not None else None
    return next((spec for mode in MODES.values() if (spec := mode.like_card(card)) is not None), None)
