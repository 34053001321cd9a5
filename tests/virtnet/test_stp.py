"""A second uplink needs STP: what is refused, at which field, and in which order it is done."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import OFFICE, OTHER, host, host_with, link, network, office, said
from virtnet import guarding
from virtnet.actions import DefineNetwork, UndefineNetwork
from virtnet.facts import HostFacts
from virtnet.forecast import forecast
from virtnet.modes.bridge import Bridge
from virtnet.plan import plan

TWO = Bridge(name="office", bridge="br1", uplink="eth0", second_uplink="eth1", stp=True)
PLAIN = TWO.model_copy(update={"second_uplink": None, "stp": False})


def made(**about: object) -> HostFacts:
    """The host once the panel has made br1 with eth0 and eth1."""
    bridge = {"kind": "bridge", "made_for": OFFICE.uuid, "made_with": "eth0", "made_with_second": "eth1"}
    br1 = link("br1", **(bridge | {"stp": True, "forward_delay": 15.0} | about))
    ports = [one.model_copy(update={"master": "br1", "addresses": ()}) for one in host().links if one.name in _PORTS]
    return host_with(br1, *ports, networks=(office(TWO),))


_PORTS = ("eth0", "eth1")


def changed(**values: object) -> Bridge:
    return TWO.model_copy(update=values)


def refused(spec: Bridge, facts: HostFacts | None = None) -> tuple[str, str, str]:
    """The field, the sentence and the fix of the one problem."""
    (problem,) = spec.problems(facts or host(), OFFICE)
    return problem.field, str(problem.text), str(problem.fix)


def test_two_uplinks_with_stp_are_taken() -> None:
    assert TWO.problems(host(), OFFICE) == []


def test_a_second_uplink_without_stp_is_refused_at_the_field_that_mends_it() -> None:
    assert refused(changed(stp=False)) == (
        "stp",
        "eth0 and eth1 in one LAN are a loop without STP: broadcasts go round until nothing else does.",
        "Turn STP on, or leave the second uplink empty.",
    )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (changed(uplink=None), "eth1 would be the only uplink."),
        (changed(second_uplink="eth0"), "eth0 is the first uplink already."),
        (changed(second_uplink="eth9"), "This host has no link eth9."),
        (changed(second_uplink="eth2"), "eth2 is a port of br0 already."),
        (changed(second_uplink="lo"), "lo leads to no LAN."),
    ],
)
def test_a_second_uplink_that_cannot_be_is_refused_at_its_field(spec: Bridge, sentence: str) -> None:
    problem = spec.problems(host(), OFFICE)[0]
    assert (problem.field, str(problem.text)) == ("second_uplink", sentence)
    assert problem.fix is not None


def test_a_second_uplink_carries_nothing_of_the_host_s() -> None:
    field, sentence, fix = refused(TWO, host_with(link("eth1", addresses=(IPv4Interface("10.9.9.9/24"),))))
    assert (field, sentence) == ("second_uplink", "eth1 holds this host's address 10.9.9.9/24.")
    assert fix == "Take it as the first uplink, or take off it what the host has there."


def test_two_uplinks_of_different_mtus_are_refused() -> None:
    facts = host_with(link("eth0", mtu=9000), link("eth1", mtu=1500))
    assert refused(TWO, facts)[:2] == (
        "second_uplink",
        "eth1 has MTU 1500 and eth0 has 9000: the bridge would take the lower.",
    )


@pytest.mark.parametrize("seconds", [1, 31])
def test_a_forward_delay_that_the_kernel_does_not_take_is_refused(seconds: int) -> None:
    with pytest.raises(ValidationError):
        Bridge(name="office", bridge="br1", forward_delay=seconds)


def test_stp_is_turned_on_after_the_first_uplink_forwards_and_before_the_second_comes() -> None:
    commands = [verb.command for verb in plan(DefineNetwork(network=OFFICE, spec=TWO), host())]
    stp = commands.index("ip link set br1 type bridge forward_delay 1500 stp_state 1")
    first = next(at for at, command in enumerate(commands) if command.startswith("ip -force -batch eth0-to-br1.ip"))
    second = next(at for at, command in enumerate(commands) if "ip link set eth1 master br1" in command)
    assert first < stp < second < commands.index("kvmagent keep")


def test_with_one_uplink_and_without_stp_nothing_is_said_of_it() -> None:
    commands = [verb.command for verb in plan(DefineNetwork(network=OFFICE, spec=PLAIN), host())]
    assert not [command for command in commands if "type bridge" in command and "add" not in command]


def test_the_second_uplink_leaves_the_bridge_before_the_first() -> None:
    bridge = made(addresses=(IPv4Interface("10.0.0.5/24"),))
    (verb,) = [
        verb for verb in plan(UndefineNetwork(network=OFFICE, spec=TWO), bridge) if "br1-to-eth0" in verb.command
    ]
    lines = verb.document.splitlines()
    assert lines[0] == "link set dev eth1 nomaster"
    assert lines.index("link set dev eth0 nomaster") > 0


def test_the_form_says_the_window_that_the_host_will_keep() -> None:
    guarded = forecast(DefineNetwork(network=OFFICE, spec=TWO), host()).guarded
    assert guarded is not None
    assert (guarded.seconds, guarded.mute) == (90, 30)
    slow = forecast(DefineNetwork(network=OFFICE, spec=changed(forward_delay=30)), host()).guarded
    assert slow is not None
    assert (slow.seconds, slow.mute) == (120, 60)
    plain = forecast(DefineNetwork(network=OFFICE, spec=PLAIN), host(confirm_seconds=40)).guarded
    assert plain is not None
    assert (plain.seconds, plain.mute) == (40, 0)


def test_a_window_under_stp_is_never_under_45_s() -> None:
    assert guarding.window(3, mute=4) == 45
    assert guarding.window(3, mute=0) == 3


def test_the_forecast_shows_stp_and_both_ports() -> None:
    after = forecast(DefineNetwork(network=OFFICE, spec=TWO), host()).after
    assert [line for line in after.splitlines() if line.startswith("link")] == [
        "link br1 type bridge mtu 0 up stp_state 1 forward_delay 1500",
        "link eth0 master br1 mtu 0 up",
        "link eth1 master br1 mtu 0 up",
    ]


def test_it_is_never_in_its_own_way() -> None:
    assert TWO.problems(made(), OFFICE) == []


@pytest.mark.parametrize(
    ("spec", "field", "sentence"),
    [
        (
            changed(second_uplink=None, forward_delay=4),
            "forward_delay",
            "br1 is there already, with a forward delay of 15 s, and keeps it.",
        ),
        (
            changed(second_uplink="eth3"),
            "second_uplink",
            "br1 is there already, and its ports stay as they are.",
        ),
    ],
)
def test_a_bridge_of_another_network_keeps_its_ports_and_its_stp(spec: Bridge, field: str, sentence: str) -> None:
    own = network("first", "bridge", bridge="br1")
    facts = host_with(*made(made_for=OTHER).links, link("eth3"), networks=(own,))
    (problem,) = spec.problems(facts, OFFICE)
    assert (problem.field, str(problem.text)) == (field, sentence)
    assert str(problem.fix) == "Edit the network first, for which it was made."


def test_a_bridge_of_others_gets_no_stp_and_no_second_uplink() -> None:
    facts = host_with(link("br1", kind="bridge", stp=False), link("eth0", master="br1"), link("eth1"))
    assert said(TWO.problems(facts, OFFICE)) == [
        ("second_uplink", "br1 is there already, and its ports stay as they are.")
    ]
    assert said(changed(second_uplink=None).problems(facts, OFFICE)) == [
        ("stp", "br1 is there already, without STP, and stays so.")
    ]


@pytest.mark.parametrize("stp", [True, False])
def test_a_network_on_a_bridge_of_others_takes_its_stp_as_it_is(stp: bool) -> None:
    facts = host_with(link("br0", kind="bridge", stp=stp, forward_delay=15.0))
    assert Bridge(name="office", bridge="br0").problems(facts, OFFICE) == []


def test_an_interrupted_try_goes_on_with_its_second_uplink() -> None:
    half = host_with(
        link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth0", made_with_second="eth1", stp=False),
        link("eth0", master="br1"),
        link("eth1"),
    )
    assert TWO.problems(half, OFFICE) == []
    of_another = host_with(link("br1", kind="bridge", made_for=OTHER, made_with="eth0", stp=False))
    assert ("second_uplink", "br1 is there already, and its ports stay as they are.") in said(
        TWO.problems(of_another, OFFICE)
    )


def test_both_uplinks_go_with_the_bridge_and_are_put_back_by_the_guard() -> None:
    assert guarding.touched(made(), ("br1",)) == ("br1", "eth0", "eth1")
    steps = [str(verb.text) for verb in plan(UndefineNetwork(network=OFFICE, spec=TWO), made())]
    assert "Take the bridge br1 away." in steps
