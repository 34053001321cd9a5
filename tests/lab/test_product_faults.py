"""The panel's programs, its Redis and its database go away and come back: no change is lost, none is done twice."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP

import pytest

from lab.browser import FormRefused
from lab.supervisor import Service
from tests.lab.network_events import DEFINED, Happened, network_events, twice
from tests.lab.person import seconds_until
from tests.lab.product import Product
from virtnet.channel import QUEUE, RESEND_SECONDS, down_prefix

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800 if os.environ.get("KVMPANEL_SOAK") else 120)]

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
REDIS_KILLS = 50 if SOAK else 3
AGENT_KILLS = 50 if SOAK else 3
FROZEN_SECONDS = 60.0 if SOAK else 12.0


def test_the_next_order_is_applied_within_10_s_after_redis_was_killed_while_one_ran(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    took = []
    with network_events(host) as happened:
        for number in range(REDIS_KILLS):
            running, following = f"ran-{number}", f"next-{number}"
            first = person.make_network(host, running)
            seconds_until(is_defined(happened, running), 30, every=0.002)
            assert product.service("redis").kill()
            took.append(person.await_state(person.make_network(host, following), "applied", within=10))
            assert person.state(first) == "applied"
    print(f"Redis killed {REDIS_KILLS} times: next order within {max(took):.1f} s")
    assert twice(happened) == {}


def test_a_frozen_redis_holds_no_page_up_and_orders_go_on_after_it(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    with network_events(host) as happened:
        with frozen(product.service("redis")):
            change = person.make_network(host, "while-frozen")
            page = person.browser.look(f"/changes/{change}/")
            time.sleep(FROZEN_SECONDS)
            assert person.state(change) in {"queued", "sent"}
        applied = person.await_state(change, "applied", within=30)
        following = person.await_state(person.make_network(host, "thawed"), "applied", within=10)
    print(
        f"Redis frozen for {FROZEN_SECONDS:.0f} s: the page took {page.seconds * 1000:.0f} ms, "
        f"applied {applied:.1f} s after it, the next in {following:.1f} s"
    )
    assert page.status == 200
    assert page.seconds < 2
    assert twice(happened) == {}


def test_no_change_is_lost_when_redis_is_emptied(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    queue = f"{down_prefix(product.host_id(host))}{QUEUE}"
    names = [f"emptied-{number}" for number in range(4)]
    with network_events(host) as happened:
        with frozen(product.service("agent-hosta")):
            changes = [person.make_network(host, name) for name in names]
            person.await_state(changes[0], "sent", within=20)
            product.redis.flushall()
            sent_again = seconds_until(lambda: product.redis.llen(queue) > 0, 30)
        seconds_until(is_defined(happened, names[1]), 30, every=0.002)
        product.redis.flushall()  # reports and orders are on their way now
        applied = seconds_until(lambda: {person.state(change) for change in changes} == {"applied"}, 30)
    print(f"Redis emptied: sent again after {sent_again:.1f} s, 4 changes applied {applied:.1f} s after it")
    assert [happened[DEFINED, name] for name in names] == [1, 1, 1, 1]
    assert twice(happened) == {}


def test_an_agent_killed_in_the_middle_of_an_order_finishes_or_undoes_it(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    ends, took = [], []
    with network_events(host) as happened:
        for number in range(AGENT_KILLS):
            name = f"cut-short-{number}"
            change = person.make_network(host, name)
            seconds_until(is_defined(happened, name), 30, every=0.002)
            assert product.service("agent-hosta").kill()
            took.append(person.await_end(change, within=15))
            ends.append(person.state(change))
            there = name in [network.name() for network in host.libvirt().listAllNetworks()]
            assert there == (ends[-1] == "applied")
    print(f"agent killed in the middle of {AGENT_KILLS} orders: {Counter(ends)}, ended within {max(took):.1f} s")
    assert set(ends) <= {"applied", "undone"}
    assert twice(happened) == {}


@pytest.mark.parametrize("program", ["worker", "collector", "web"])
def test_pages_and_changes_go_on_after_a_program_of_the_panel_was_killed(product: Product, program: str) -> None:
    host, person = product.lab.hosts[0], product.person
    assert product.service(program).kill()
    page = person.browser.look("/")
    applied = person.await_state(person.make_network(host, f"{program}-killed"), "applied", within=10)
    print(f"{program} killed: a page in {page.seconds:.2f} s, a change applied in {applied:.1f} s")
    assert page.status == 200


def test_without_a_database_pages_say_so_and_no_order_leaves_and_then_all_goes_on(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    queue = f"{down_prefix(product.host_id(host))}{QUEUE}"
    with network_events(host) as happened:
        with frozen(product.service("agent-hosta")):
            changes = [person.make_network(host, f"before-{number}") for number in range(2)]
            person.await_state(changes[0], "sent", within=20)
            product.service("postgres").down()
            try:
                page = person.browser.look("/")
                with pytest.raises(FormRefused, match="answered 503"):
                    person.make_network(host, "without-a-database")
                waiting = product.redis.llen(queue)
                time.sleep(RESEND_SECONDS + 1)  # an order that nobody answers is sent again in this time
                assert product.redis.llen(queue) == waiting
            finally:
                product.service("postgres").up()
        back = seconds_until(lambda: person.browser.look("/").status == 200, 10)
        applied = seconds_until(lambda: {person.state(change) for change in changes} == {"applied"}, 20)
    print(
        f"database down: 503 in {page.seconds * 1000:.0f} ms; pages back in {back:.1f} s, applied {applied:.1f} s later"
    )
    assert page.status == 503
    assert "database does not answer" in page.page
    assert page.seconds < 2
    assert product.panel.rows("SELECT 1 FROM networks_network WHERE name = 'without-a-database'") == []
    assert twice(happened) == {}


def is_defined(happened: Happened, name: str) -> Callable[[], bool]:
    return lambda: happened[DEFINED, name] == 1


@contextmanager
def frozen(service: Service) -> Iterator[None]:
    """SIGSTOP: it keeps its connections and answers nothing."""
    service.signal(SIGSTOP)
    try:
        yield
    finally:
        service.signal(SIGCONT)
