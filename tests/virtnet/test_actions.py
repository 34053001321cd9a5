"""What stands in the way of each action."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.virtnet.samples import BRIDGE, NAT, OFFICE, OTHER, SRIOV, WEB, guest, host, network, office, said
from virtnet.actions import (
    Action,
    AnyAction,
    AttachInterface,
    DefineNetwork,
    DestroyNetwork,
    DetachInterface,
    SetNetworkAutostart,
    StartNetwork,
    UndefineNetwork,
    UpdateNetwork,
)
from virtnet.facts import NetworkFacts
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.modes import AnySpec
from virtnet.refs import NetworkRef

MANAGED = office(NAT)
FOREIGN = network("office", "nat", uuid=OFFICE.uuid, bridge="virbr1")
CARD = InterfaceSpec(source=NetworkSource(network="office"), mac="52:54:00:00:00:01")
ATTACH = AttachInterface(domain=WEB, interface=CARD)
ON_A_NETWORK: tuple[Action, ...] = (
    UpdateNetwork(network=OFFICE, spec=NAT),
    StartNetwork(network=OFFICE),
    DestroyNetwork(network=OFFICE),
    UndefineNetwork(network=OFFICE, spec=NAT),
    SetNetworkAutostart(network=OFFICE, autostart=True),
)


@pytest.mark.parametrize("action", ON_A_NETWORK, ids=lambda action: action.action)
def test_a_network_that_is_gone_is_told_once(action: Action) -> None:
    assert said(action.problems(host())) == [("", "This host has no network office any more.")]


@pytest.mark.parametrize("action", ON_A_NETWORK, ids=lambda action: action.action)
def test_the_panel_s_network_without_guests_is_free(action: Action) -> None:
    assert action.problems(host(networks=(MANAGED,))) == []


@pytest.mark.parametrize("action", [ON_A_NETWORK[0], ON_A_NETWORK[3]], ids=lambda action: action.action)
def test_a_foreign_network_is_never_updated_or_undefined(action: Action) -> None:
    (problem,) = action.problems(host(networks=(FOREIGN,)))
    assert str(problem.text) == "The network office was not made by the panel."
    assert str(problem.fix) == "Change it with the tool that made it."


@pytest.mark.parametrize("action", [ON_A_NETWORK[1], ON_A_NETWORK[4]], ids=lambda action: action.action)
def test_a_foreign_network_may_be_started_and_set_to_autostart(action: Action) -> None:
    assert action.problems(host(networks=(FOREIGN,))) == []


def test_the_network_is_found_by_its_uuid_and_never_by_its_name() -> None:
    stranger = network("office", "nat", uuid=OTHER, spec=NAT.model_dump_json())
    assert said(StartNetwork(network=OFFICE).problems(host(networks=(stranger,)))) == [
        ("", "This host has no network office any more.")
    ]


def test_stopping_counts_running_guests_and_undefining_all_of_them() -> None:
    sleeping = host(networks=(MANAGED,), domains=(guest(networks=("office",), state="shut off"),))
    running = host(networks=(MANAGED,), domains=(guest(networks=("office",)), guest("db1", networks=("lab",))))
    stop, undefine = DestroyNetwork(network=OFFICE), UndefineNetwork(network=OFFICE, spec=NAT)
    in_the_way = [("", "Guests are plugged into office: web1.")]
    assert stop.problems(sleeping) == []
    assert said(stop.problems(running)) == in_the_way
    assert said(undefine.problems(sleeping)) == in_the_way
    assert [str(problem.fix) for problem in undefine.problems(running)] == ["Unplug their cards first."]


def test_stopping_counts_a_paused_guest_too() -> None:
    paused = host(networks=(MANAGED,), domains=(guest(networks=("office",), state="paused"),))
    assert said(DestroyNetwork(network=OFFICE).problems(paused)) == [("", "Guests are plugged into office: web1.")]


def test_a_card_needs_its_guest_and_a_network_that_runs() -> None:
    assert said(ATTACH.problems(host())) == [
        ("", "The guest web1 is not on this host any more."),
        ("source", "This host has no network office."),
    ]
    stopped = NetworkFacts(name="office", uuid=OFFICE.uuid, active=False, mode="nat")
    (problem,) = ATTACH.problems(host(networks=(stopped,), domains=(guest(),)))
    assert (problem.field, str(problem.fix)) == ("source", "Start the network first.")


def test_a_mac_address_is_given_once_on_a_host() -> None:
    taken = guest("db1", networks=("lab",)).model_copy(update={"uuid": OTHER})
    facts = host(networks=(MANAGED,), domains=(guest(), taken))
    assert said(ATTACH.problems(facts)) == [("mac", "52:54:00:00:00:01 is a card of db1 already.")]


def test_the_card_that_an_earlier_try_plugged_in_is_not_in_its_own_way() -> None:
    assert ATTACH.problems(host(networks=(MANAGED,), domains=(guest(networks=("office",)),))) == []


def test_a_card_is_unplugged_from_a_guest_that_is_there() -> None:
    detach = DetachInterface(domain=WEB, mac=CARD.mac)
    assert detach.problems(host(domains=(guest(),))) == []
    assert said(detach.problems(host())) == [("", "The guest web1 is not on this host any more.")]


@pytest.mark.parametrize("kind", [DefineNetwork, UpdateNetwork])
def test_the_name_in_the_document_is_one_that_the_spec_s_rule_has_passed(
    kind: type[DefineNetwork] | type[UpdateNetwork],
) -> None:
    with pytest.raises(ValidationError, match=r"The spec is of office, not of \.\./x"):
        kind(network=NetworkRef(uuid=OFFICE.uuid, name="../x"), spec=NAT)


@pytest.mark.parametrize("spec", [NAT, BRIDGE, SRIOV], ids=lambda spec: spec.mode)
def test_an_action_comes_back_whole_over_the_wire(spec: AnySpec) -> None:
    adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)
    action = DefineNetwork(network=OFFICE, spec=spec)
    assert adapter.validate_json(action.model_dump_json()) == action


def test_each_action_has_a_title_with_its_thing_in_it() -> None:
    actions: tuple[Action, ...] = (
        *ON_A_NETWORK,
        DefineNetwork(network=OFFICE, spec=NAT),
        SetNetworkAutostart(network=OFFICE, autostart=False),
        ATTACH,
        DetachInterface(domain=WEB, mac=CARD.mac),
    )
    titles = {str(action.title()) for action in actions}
    assert len(titles) == len(actions)
    assert all("office" in title or "web1" in title for title in titles)


def test_a_network_never_changes_its_mode() -> None:
    (problem,) = UpdateNetwork(network=OFFICE, spec=BRIDGE).problems(host(networks=(MANAGED,)))
    assert str(problem.text) == "The network office is nat and cannot become bridge."
    assert str(problem.fix) == "Make a new network, and move the guests' cards to it."


def test_each_problem_of_an_action_has_its_remedy() -> None:
    stopped = NetworkFacts(name="office", uuid=OFFICE.uuid, active=False, mode="nat")
    plugged = guest(networks=("office",))
    hosts = (host(), host(networks=(FOREIGN,), domains=(plugged,)), host(networks=(stopped, MANAGED)))
    found = [
        problem
        for action in (*ON_A_NETWORK, ATTACH, DetachInterface(domain=WEB, mac=CARD.mac))
        for facts in hosts
        for problem in action.problems(facts)
    ]
    assert len(found) > 10
    assert [str(problem.text) for problem in found if problem.fix is None] == []


def test_the_card_of_a_running_guest_that_libvirt_shows_with_its_bridge_is_the_wanted_one() -> None:
    lan = network("office", "bridge", uuid=OFFICE.uuid, bridge="br0")
    shown = guest(networks=("office",)).interfaces[0].model_copy(update={"type": "bridge", "source": "br0"})
    on_it = guest().model_copy(update={"interfaces": (shown,)})
    assert ATTACH.problems(host(networks=(lan,), domains=(on_it,))) == []
    elsewhere = shown.model_copy(update={"source": "br7"})
    facts = host(networks=(lan,), domains=(guest().model_copy(update={"interfaces": (elsewhere,)}),))
    assert said(ATTACH.problems(facts)) == [("mac", "52:54:00:00:00:01 is a card of web1 already.")]
