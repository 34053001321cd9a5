"""Orders while everything is killed at random: none is lost, none is done twice.

What counts as done is not what the panel says but what libvirtd did: an observer connected to the host's libvirtd takes
down every "defined" event of every network.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import libvirt
import pytest

from lab import Lab, LabHost
from lab.browser import Browser
from lab.panel import ADMIN, LabPanel

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
ORDERS = 1000 if SOAK else 60
PAUSE = 0.9  # seconds between two orders: the short form lasts about a minute
DRAINED_WITHIN = 30.0
VICTIMS = ("agent-hosta", "redis", "worker", "collector", "postgres", "web")


@pytest.fixture
def panel() -> Iterator[LabPanel]:
    with Lab("chaos", hosts=1, guests_per_host=0) as lab:
        panel = LabPanel(lab, postgres=True)
        try:
            panel.up()
            panel.enrol(lab.hosts[0])
            panel.wait_for_facts(lab.hosts[0])
            yield panel
        finally:
            panel.down()


def test_nothing_is_lost_and_nothing_is_done_twice_while_everything_is_killed(panel: LabPanel) -> None:
    host = panel.lab.hosts[0]
    with defined_events(host) as defined:
        with killing(panel, seed=20261123) as kills:
            for number in range(ORDERS):
                ask_for_a_network(panel, host, number)
                time.sleep(PAUSE)
        drained_in = wait_until_drained(panel)
    outcomes = dict(rows(panel, "SELECT name, state FROM networks_change JOIN networks_network n ON n.id = network_id"))
    there = {network.name() for network in host.libvirt().listAllNetworks()}
    print(f"{ORDERS} orders, {sum(kills.values())} kills {dict(kills)}, drained in {drained_in:.1f} s: {Counter(outcomes.values())}")

    assert len(outcomes) == ORDERS, "an order that a person saw accepted is not in the database"
    assert sum(kills.values()) >= ORDERS * PAUSE / 8, "the test killed too little to mean anything"
    lost = [name for name, state in outcomes.items() if state == "applied" and name not in there]
    assert lost == []
    twice = {name: count for name, count in defined.items() if count > 1 and outcomes.get(name) == "applied"}
    assert twice == {}
    left_behind = [name for name, state in outcomes.items() if state != "applied" and name in there]
    assert left_behind == []
    # A verb that was cut short by a kill may be undone instead of finished; it may not be the rule.
    assert Counter(outcomes.values())["applied"] >= ORDERS * 0.9


@contextmanager
def defined_events(host: LabHost) -> Iterator[Counter[str]]:
    """How often each network was defined, as libvirtd itself tells."""
    libvirt.virEventRegisterDefaultImpl()
    seen: Counter[str] = Counter()
    stop = threading.Event()
    connection = host.libvirt()

    def happened(_: object, network: libvirt.virNetwork, event: int, detail: int, opaque: object) -> None:
        if event == libvirt.VIR_NETWORK_EVENT_DEFINED:
            seen[network.name()] += 1

    connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, happened, None)
    timer = libvirt.virEventAddTimeout(200, lambda *_: None, None)  # so that the loop sees `stop`

    def loop() -> None:
        while not stop.is_set():
            libvirt.virEventRunDefaultImpl()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
        libvirt.virEventRemoveTimeout(timer)


@contextmanager
def killing(panel: LabPanel, *, seed: int) -> Iterator[Counter[str]]:
    """Kills one of the programs every 2 to 6 s."""
    chance = random.Random(seed)
    kills: Counter[str] = Counter()
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(chance.uniform(2, 6)):
            victim = chance.choice(VICTIMS)
            panel.services[victim].kill()
            kills[victim] += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield kills
    finally:
        stop.set()
        thread.join()


def ask_for_a_network(panel: LabPanel, host: LabHost, number: int) -> None:
    """As a person does it: again, until the page says that the change is there or that the name is taken by it."""
    page = f"/hosts/{host.name}/networks/new/host-only/"
    name = f"net{number}"
    fields = {"name": name, "bridge": f"br-{number}", "host_address": f"10.{number // 250}.{number % 250}.1/24"}
    deadline = time.monotonic() + 60
    while not rows(panel, f"SELECT 1 FROM networks_network WHERE name = '{name}'"):
        assert time.monotonic() < deadline, f"{name} could not be asked for"
        try:
            browser = Browser(panel.url)
            browser.log_in(ADMIN, panel.password)
            browser.get(page)
            browser.post(page, fields)
        except (OSError, RuntimeError):
            time.sleep(0.2)  # the web process or the database is being started again


def wait_until_drained(panel: LabPanel) -> float:
    begun = time.monotonic()
    while rows(panel, "SELECT 1 FROM networks_change WHERE state IN ('queued', 'sent', 'running')"):
        assert time.monotonic() - begun < DRAINED_WITHIN, rows(
            panel, "SELECT seq, state, sends FROM networks_change WHERE state IN ('queued', 'sent', 'running')"
        )
        time.sleep(0.2)
    return time.monotonic() - begun


def rows(panel: LabPanel, sql: str) -> list[tuple[str, ...]]:
    """The rows; asked again while the database is being started."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with panel.database() as database:
                return database.rows(sql)
        except Exception as error:  # psycopg's many ways to say that the server is away
            if time.monotonic() > deadline or "OperationalError" not in type(error).__name__:
                raise
            time.sleep(0.1)
