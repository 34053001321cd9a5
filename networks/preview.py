"""What an action would do on a host, before anybody asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from virtnet.actions import Action
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.modes import MODES, read_spec
from virtnet.plan import plan
from virtnet.spec import NetworkSpec, Problem
from virtnet.verbs import Verb


@dataclass(frozen=True)
class Preview:
    """`verbs` in order, `commands` as a person would type them, the `problems` that stand in the way, and the `notes`
    on what a person should know before."""

    verbs: list[Verb]
    commands: str
    problems: list[Problem]
    notes: list[Problem]


def preview(action: Action, facts: HostFacts) -> Preview:
    verbs = plan(action, facts)
    commands = as_script(verb.command for verb in verbs)
    return Preview(verbs, commands, action.problems(facts), action.notes(facts))


def as_script(commands: Iterable[str]) -> str:
    return "\n".join(command for command in commands if command)


def spec_of(network: NetworkFacts) -> NetworkSpec | None:
    """The spec of a network of the panel; for a foreign one the example of its mode, when that has only one."""
    if network.spec is not None:
        return read_spec(network.spec)
    mode = MODES.get(network.mode)
    examples = mode.examples() if mode is not None else ()
    return examples[0] if len(examples) == 1 else None
