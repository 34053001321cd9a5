"""Orders while everything is killed at random: none is lost, none is done twice.

What counts as done is not what the panel says but what libvirtd did: an observer connected to the host's libvirtd takes
down every network that it defines or undefines.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from lab import Lab, LabHost
from lab.browser import FormRefused
from lab.panel import LabPanel
from tests.lab.network_events import DEFINED, UNDEFINED, Happened, network_events, twice
from tests.lab.person import OPEN, Person, seconds_until
from tests.lab.product import running

pytestmark = [pytest.mark.lab, pytest.mark.timeout(7200)]

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
ORDERS = 1000 if SOAK else 60
STANDING = 50 if SOAK else 10  # networks that are there at a time; beyond it each second order takes one away
PAUSE = 0.8  # seconds between two orders, as from a busy team: the short form lasts about a minute
MOST_OPEN = 20  # changes that the team leaves open before it waits: kills slow the host down, the team would not
DRAINED_WITHIN = 30.0
VICTIMS = ("agent-hosta", "redis", "worker", "collector", "postgres", "web")

CHANGES = (
    "SELECT name, action ->> 'action', state FROM networks_change c JOIN networks_network n ON n.id = c.network_id"
)
AWAY = (OSError, FormRefused)  # a program is being started again, or a form waits for what another change becomes


@dataclass
class Team:
    """Makes networks and takes them away again, and asks again until the panel has taken it."""

    panel: LabPanel
    host: LabHost
    made: int = 0
    standing: deque[str] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.person = Person(self.panel)

    def next_order(self) -> None:
        """Asks for one change more. AssertionError when the host stands still."""
        seconds_until(lambda: len(open_changes(self.panel)) < MOST_OPEN, within=60)
        while len(self.standing) > STANDING:
            name = self.standing.popleft()
            # An order that was undone has left nothing to take away.
            if self._end_of("define-network", name) == "applied":
                self._insist("undefine-network", name)
                return
        name = f"net{self.made}"
        self.made += 1
        self._insist("define-network", name)
        self.standing.append(name)

    def _insist(self, action: str, name: str) -> None:
        deadline = time.monotonic() + 60
        while not self._states(action, name):
            assert time.monotonic() < deadline, f"{name}: {action} could not be asked for"
            try:
                if action == "define-network":
                    self.person.make_network(self.host, name)
                else:
                    self.person.undefine_network(self.person.network_id(self.host, name))
            except AWAY:
                time.sleep(0.2)

    def _end_of(self, action: str, name: str) -> str:
        seconds_until(lambda: not set(self._states(action, name)) & set(OPEN), within=60)
        return self._states(action, name)[0]

    def _states(self, action: str, name: str) -> list[str]:
        return [
            state
            for _, _, state in self.panel.rows(f"{CHANGES} WHERE name = %s AND action ->> 'action' = %s", name, action)
        ]


def test_nothing_is_lost_and_nothing_is_done_twice_while_everything_is_killed() -> None:
    with Lab(f"c{os.getpid()}", hosts=1, guests_per_host=0) as lab, running(lab) as panel:
        host = lab.hosts[0]
        team = Team(panel, host)
        with network_events(host) as happened:
            with killing(panel, seed=20261123) as kills:
                for _ in range(ORDERS - 1):
                    team.next_order()
                    time.sleep(PAUSE)
            team.next_order()
            for victim in VICTIMS:  # all at once, while the last order is on its way
                kills[victim] += panel.services[victim].kill()
            drained_in = seconds_until(
                lambda: not open_changes(panel), DRAINED_WITHIN, lambda: f"open: {open_changes(panel)}"
            )
        changes = panel.rows(CHANGES)
        ((slowest,),) = panel.rows("SELECT max(extract(epoch FROM finished_at - created_at)) FROM networks_change")
        there = {network.name() for network in host.libvirt().listAllNetworks()} - {"default"}
    outcomes = Counter(state for _, _, state in changes)
    print(
        f"{len(changes)} orders, {sum(kills.values())} kills {dict(kills)}: {outcomes}, "
        f"slowest {slowest:.1f} s, drained in {drained_in:.1f} s"
    )

    assert len(changes) == ORDERS, "an order that a person saw accepted is not in the database, or is there twice"
    assert sum(kills.values()) >= ORDERS * PAUSE / 8, "the test killed too little to mean anything"
    assert not_done_once(changes, happened) == []
    assert twice(happened) == {}
    assert there == wanted(changes)
    # A verb that was cut short by a kill may be undone instead of finished; it may not be the rule.
    assert set(outcomes) <= {"applied", "undone"}
    assert outcomes["applied"] >= ORDERS * 0.9


Changes = list[tuple[str, str, str]]


def not_done_once(changes: Changes, happened: Happened) -> list[tuple[str, str]]:
    """What the panel calls applied and libvirtd did not do exactly once."""
    events = {"define-network": DEFINED, "undefine-network": UNDEFINED}
    return [
        (name, action) for name, action, state in changes if state == "applied" and happened[events[action], name] != 1
    ]


def wanted(changes: Changes) -> set[str]:
    """The networks that are there if the panel tells the truth."""
    applied = {(action, name) for name, action, state in changes if state == "applied"}
    return {
        name for action, name in applied if action == "define-network" and ("undefine-network", name) not in applied
    }


def open_changes(panel: LabPanel) -> list[tuple[str, ...]]:
    return panel.rows("SELECT seq, state, sends FROM networks_change WHERE state IN ('queued', 'sent', 'running')")


@contextmanager
def killing(panel: LabPanel, *, seed: int) -> Iterator[Counter[str]]:
    """Kills one of the programs every 2 to 6 s."""
    chance = random.Random(seed)
    kills: Counter[str] = Counter()
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(chance.uniform(2, 6)):
            victim = chance.choice(VICTIMS)
            kills[victim] += panel.services[victim].kill()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield kills
    finally:
        stop.set()
        thread.join()
