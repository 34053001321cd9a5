"""A bridge over the host's only way to the panel: real agent, Redis, guard and panel, and the word between them.

Kept, undone, with the agent killed in the window, left alone until the deadline, and with everybody killed but the
guard. The countdown in a browser is in tests/browser.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from signal import SIGKILL
from uuid import UUID

import pytest

from lab import LabHost
from tests.lab.person import seconds_until
from tests.lab.product import Product
from tests.lab.snapshots import differences, take

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
WINDOW = 15.0  # seconds
EVERYBODY = ("agent-hostb", "redis", "worker", "collector", "web", "postgres")

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800 if SOAK else 180)]


@pytest.fixture(scope="module")
def host(product: Product) -> Iterator[LabHost]:
    """The second one, with an agent that waits so long."""
    host = product.lab.hosts[1]
    product.service("agent-hostb").down()
    product.panel.start_agent(host, {"KVMAGENT_CONFIRM_SECONDS": str(WINDOW)})
    yield host
    product.service("agent-hostb").down()
    product.panel.start_agent(host)


def test_a_change_is_kept_though_the_agent_was_killed_and_its_removal_undone_and_then_kept(
    product: Product, host: LabHost
) -> None:
    person, agent = product.person, product.service("agent-hostb")
    before = take(host)
    made = armed(product, person.make_bridge(host, "lan", "br0", "eth0"))
    first = agent.pid
    assert agent.kill()
    seconds_until(lambda: agent.pid not in {None, first}, 10)
    person.keep(made)
    person.await_state(made, "applied", within=WINDOW)
    assert guards_word(host) == "kept"
    with_bridge = take(host)
    assert carriers(host) == ["br0"]

    network = person.network_id(host, "lan")
    person.await_found(network, within=30)
    removed = armed(product, person.undefine_network(network))
    assert carriers(host) == ["eth0"]
    person.undo(removed)
    person.await_state(removed, "taken-back", within=WINDOW)
    assert differences(host, with_bridge) == []

    removed = armed(product, person.undefine_network(network))
    person.keep(removed)
    person.await_state(removed, "applied", within=WINDOW)
    assert differences(host, before) == []


def test_left_alone_the_host_is_as_before_by_the_deadline_and_says_so(product: Product, host: LabHost) -> None:
    before = take(host)
    change = armed(product, product.person.make_bridge(host, "alone", "br0", "eth0"))
    assert carriers(host) == ["br0"]
    product.person.await_state(change, "undone", within=WINDOW + 10)
    assert late(host) < 1
    assert differences(host, before) == []
    assert product.person.sees(f"/changes/{change}/", "Nobody confirmed the change in time")


@pytest.mark.parametrize("round_number", range(20 if SOAK else 1))
def test_with_agent_redis_and_panel_all_killed_the_host_puts_itself_back(
    product: Product, host: LabHost, round_number: int
) -> None:
    before = take(host)
    change = armed(product, product.person.make_bridge(host, f"deserted-{round_number}", "br0", "eth0"))
    for name in EVERYBODY:
        product.service(name).signal(SIGKILL)
    for name in EVERYBODY:
        product.service(name).down()
    try:
        assert carriers(host) == ["br0"]
        seconds_until(lambda: carriers(host) == ["eth0"], WINDOW + 10)
        seconds_until(lambda: guards_word(host) == "restored", 10)
        assert late(host) < 1
        assert differences(host, before) == []
    finally:
        for name in reversed(EVERYBODY):
            product.service(name).up()
    product.panel.wait_for_page()
    product.person.await_state(change, "undone", within=30)
    assert differences(host, before) == []


def armed(product: Product, change: UUID) -> UUID:
    """The change once its host waits for the panel's word."""
    product.person.await_state(change, "armed", within=45)
    return change


def carriers(host: LabHost) -> list[str]:
    """The links with the host's address."""
    found = json.loads(host.run(["ip", "-json", "-4", "address", "show", "to", str(host.address)]).stdout)
    return [link["ifname"] for link in found]


def guards_word(host: LabHost) -> str | None:
    """What the guard says that became of the last change; None while it waits."""
    done = host.run(["cat", "/var/lib/kvmagent/guard/outcome.json"], check=False)
    return str(json.loads(done.stdout)["state"]) if done.returncode == 0 else None


def late(host: LabHost) -> float:
    """Seconds from the end of the window until the guard had put everything back."""
    plan, outcome = (
        json.loads(host.run(["cat", f"/var/lib/kvmagent/guard/{name}.json"]).stdout) for name in ("plan", "outcome")
    )
    return float(outcome["at"] - plan["deadline"])
