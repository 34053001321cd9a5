"""People who press at the same moment: one gets what they asked for, the others a clear refusal."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from django.db import connection
from pytest_django import Settings

from hosts import operations as host_operations
from hosts.enrolment import Enrolment, EnrolmentRefused, enrol
from hosts.models import Host, HostStatus
from networks import operations
from networks.models import Change, ChangeState, Network
from networks.operations import OperationRefused
from team.models import User
from tests.panel.conftest import use_environment
from tests.panel.factories import Agent, make_host, nat_spec, web_guest
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.messages import Heartbeat

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 20


@pytest.fixture(autouse=True)
def _environment(settings: Settings, tmp_path: Path) -> None:
    use_environment(settings, tmp_path, redis_url="redis://127.0.0.1:1/0")


def at_once(act: Callable[[int], object]) -> list[object]:
    """What each of them got: a result, or the refusal."""
    barrier = Barrier(PEOPLE)

    def one(number: int) -> object:
        try:
            barrier.wait(10)
            return act(number)
        except (OperationRefused, EnrolmentRefused) as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(PEOPLE) as pool:
        return list(pool.map(one, range(PEOPLE)))


def test_one_name_is_given_once(host: Host, operator: User) -> None:
    got = at_once(lambda number: operations.define_network(host, nat_spec(number=130 + number), by=operator))
    assert sum(isinstance(one, Change) for one in got) == 1
    assert all(one.problems[0].field == "name" for one in got if isinstance(one, OperationRefused))
    assert Network.objects.filter(host=host, name="office").count() == 1


def test_different_changes_all_get_their_own_number(host: Host, operator: User) -> None:
    at_once(lambda number: operations.define_network(host, nat_spec(f"n{number}", number=130 + number), by=operator))
    assert sorted(Change.objects.values_list("seq", flat=True)) == list(range(1, PEOPLE + 1))


def test_one_mac_address_is_given_once_over_all_hosts(operator: User) -> None:
    hosts = [make_host(f"kvm-{number}") for number in range(PEOPLE)]
    card = InterfaceSpec(source=NetworkSource(network="default"), mac="52:54:00:77:00:01")
    got = at_once(lambda number: operations.attach_interface(hosts[number], web_guest(), card, by=operator))
    assert sum(isinstance(one, Change) for one in got) == 1
    assert all(one.problems[0].field == "mac" for one in got if isinstance(one, OperationRefused))


def test_one_token_makes_one_agent(operator: User) -> None:
    host, token = host_operations.add_host("new", by=operator)
    got = at_once(lambda number: enrol(token, Agent(host.pk).public_key, f"host-{number}"))
    assert sum(isinstance(one, Enrolment) for one in got) == 1
    host.refresh_from_db()
    assert host.status == HostStatus.PENDING


def test_nobody_who_makes_another_token_meets_an_agent_that_uses_the_last_one(operator: User) -> None:
    host, _ = host_operations.add_host("new", by=operator)
    for _ in range(5):
        token = host_operations.new_token(host, by=operator)

        def act(number: int, token: str = token) -> object:
            if number % 2:
                return host_operations.new_token(host, by=operator)
            return enrol(token, Agent(host.pk).public_key, f"host-{number}")

        got = at_once(act)
        assert sum(isinstance(one, str) for one in got) == PEOPLE // 2
        assert sum(isinstance(one, Enrolment) for one in got) <= 1


def test_many_who_write_for_a_while_never_meet_a_locked_database(host: Host, operator: User) -> None:
    agent = Agent(host.pk)

    def writes(number: int) -> int:
        for turn in range(10):
            spec = nat_spec(f"n{number}-{turn}", number=130 + number)
            change = operations.define_network(host, spec, by=operator)
            operations.record_report(host, agent.report(Heartbeat(nonce=f"{number}-{turn}", facts_digest="")))
            operations.cancel_change(change, by=operator)
        return number

    assert sorted(int(str(one)) for one in at_once(writes)) == list(range(PEOPLE))
    assert Change.objects.filter(state=ChangeState.CANCELLED).count() == PEOPLE * 10
