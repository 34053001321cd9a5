"""The MTU of a bridge that the panel made: in which order it is set, what stands in its way, and in which files."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import OFFICE, OTHER, guest, host, host_with, link, network, said
from tests.virtnet.test_bridge_change import FILES, PLAIN, TWO, configuration, lasting, made
from virtnet.actions import DefineNetwork, UndefineNetwork, UpdateNetwork
from virtnet.configuration import ConfigurationFile, Owner
from virtnet.facts import HostFacts
from virtnet.forecast import forecast
from virtnet.modes.bridge import Bridge
from virtnet.persist import LastingBridge, file_changes
from virtnet.plan import plan

JUMBO = PLAIN.model_copy(update={"mtu": 9000})
USUAL = PLAIN.model_copy(update={"mtu": 1500})


def with_mtu(facts: HostFacts, mtu: int, *more: Any) -> HostFacts:
    """Its bridge and the uplinks with this MTU, and one guest's tap on it."""
    links = [one.model_copy(update={"mtu": mtu}) if one.name in {"br1", "eth0", "eth1"} else one for one in facts.links]
    tap = link("vnet7", kind="tun", master="br1", mtu=mtu)
    (card,) = guest("web1", networks=("office",)).interfaces
    web1 = guest("web1").model_copy(update={"interfaces": (card.model_copy(update={"target": "vnet7"}),)})
    return facts.model_copy(update={"links": (*links, tap, *more), "domains": (web1,)})


def commands(spec: Bridge, facts: HostFacts) -> list[str]:
    return [verb.command for verb in plan(UpdateNetwork(network=OFFICE, spec=spec), facts)]


@pytest.mark.parametrize(
    ("wanted", "now", "command"),
    [
        (JUMBO, 1500, "ip link set eth0 mtu 9000; ip link set vnet7 mtu 9000; ip link set br1 mtu 9000"),
        (USUAL, 9000, "ip link set br1 mtu 1500; ip link set eth0 mtu 1500; ip link set vnet7 mtu 1500"),
    ],
)
def test_a_port_is_raised_before_its_bridge_and_lowered_after_it(wanted: Bridge, now: int, command: str) -> None:
    told = commands(wanted, with_mtu(made(PLAIN), now))
    assert (
        told.index("python3 -I -S guard.py /var/lib/kvmagent/guard") < told.index(command) < told.index("kvmagent keep")
    )


def test_a_new_bridge_gets_it_once_its_uplinks_are_in() -> None:
    two = TWO.model_copy(update={"mtu": 9000})
    told = [verb.command for verb in plan(DefineNetwork(network=OFFICE, spec=two), host())]
    joined = next(at for at, command in enumerate(told) if "ip link set eth1 master br1" in command)
    raised = told.index("ip link set eth0 mtu 9000; ip link set eth1 mtu 9000; ip link set br1 mtu 9000")
    assert joined < raised < told.index("kvmagent keep")


def test_the_forecast_shows_each_link_that_gets_it() -> None:
    found = forecast(UpdateNetwork(network=OFFICE, spec=JUMBO), with_mtu(made(PLAIN), 1500))
    assert found.guarded is not None
    before, after = (
        [line for line in listing.splitlines() if line.startswith("link ")] for listing in (found.before, found.after)
    )
    assert [line.split()[1] for line in before] == ["br1", "eth0", "vnet7"]
    assert [line.replace("mtu 9000", "mtu 1500") for line in after] == before != after


@pytest.mark.parametrize("spec", [PLAIN, USUAL])
def test_where_it_is_so_already_or_is_not_asked_for_nothing_is_guarded(spec: Bridge) -> None:
    assert "kvmagent keep" not in commands(spec, with_mtu(made(PLAIN), 1500))


def test_an_uplink_has_its_own_again_when_the_bridge_goes() -> None:
    facts = with_mtu(made(JUMBO), 9000)
    (br1,) = (one for one in facts.links if one.name == "br1")
    br1 = br1.model_copy(update={"made_with_mtus": (("eth0", 1500),)})
    others = [one for one in facts.links if one.name not in {"br1", "vnet7"}]
    facts = facts.model_copy(update={"links": (br1, *others), "domains": ()})
    action = UndefineNetwork(network=OFFICE, spec=JUMBO)
    (verb,) = [verb for verb in plan(action, facts) if "br1-to-eth0" in verb.command]
    assert verb.document.splitlines()[-2:] == ["link delete dev br1", "link set dev eth0 mtu 1500"]
    assert "link eth0 mtu 1500 up" in forecast(action, facts).after.splitlines()


@pytest.mark.parametrize("mtu", [1279, 65536])
def test_what_would_cost_ipv6_or_is_more_than_the_kernel_takes_is_refused(mtu: int) -> None:
    with pytest.raises(ValidationError):
        Bridge(name="office", bridge="br1", mtu=mtu)


def test_more_than_the_uplink_takes_is_refused_at_its_field() -> None:
    facts = host_with(link("eth0", mtu=1500, max_mtu=4000))
    (problem,) = JUMBO.problems(facts, OFFICE)
    assert (problem.field, str(problem.text)) == ("mtu", "eth0 takes an MTU of at most 4000.")
    assert Bridge(name="office", bridge="br1", uplink="eth0", mtu=4000).problems(facts, OFFICE) == []


def test_a_bridge_of_others_keeps_its_own() -> None:
    facts = host_with(link("br0", kind="bridge", mtu=1500))
    spec = Bridge(name="office", bridge="br0", mtu=9000)
    assert said(spec.problems(facts, OFFICE)) == [("mtu", "br0 is there already, with MTU 1500, and keeps it.")]
    assert not [command for command in commands(spec, facts) if " mtu " in command]
    assert spec.model_copy(update={"mtu": 1500}).problems(facts, OFFICE) == []


def test_one_that_was_made_for_another_network_says_which() -> None:
    facts = host_with(
        link("br0", kind="bridge", mtu=1500, made_for=OTHER), networks=(network("lab", "bridge", bridge="br0"),)
    )
    (problem,) = Bridge(name="office", bridge="br0", mtu=9000).problems(facts, OFFICE)
    assert str(problem.fix) == "Edit the network lab, for which it was made."


def test_guests_and_others_on_the_bridge_are_named() -> None:
    container = link("veth7", kind="veth", master="br1", mtu=1500)
    told = [str(note.text) for note in JUMBO.notes(with_mtu(made(PLAIN), 1500, container), OFFICE)]
    assert told == [
        "The taps of web1 get MTU 9000 too. Inside a guest it stays as it is: what is longer than 9000 is dropped.",
        "veth7 on br1 keeps its own MTU: what is longer is dropped there.",
    ]
    assert PLAIN.notes(with_mtu(made(PLAIN), 1500, container), OFFICE) == []


def test_another_mtu_than_it_was_made_with_is_drift() -> None:
    facts = with_mtu(made(JUMBO), 1500)
    assert [str(one.text) for one in JUMBO.drift(facts, OFFICE)] == ["The MTU of br1 is 1500, and was made 9000."]
    assert PLAIN.drift(facts, OFFICE) == []


# What an owner's file says of an MTU that is asked for, also of the usual one.
SAYS: dict[Owner, str] = {
    "ifupdown": "ip link set dev $port mtu {} master br1",
    "networkd": "MTUBytes={}\n",
    "netplan": "      mtu: {}\n",
    "networkmanager": "mtu={}\n",
}


@pytest.mark.parametrize("owner", FILES)
@pytest.mark.parametrize("mtu", [1500, 9000])
def test_it_is_written_for_the_bridge_and_its_port(owner: Owner, mtu: int) -> None:
    bridge = LastingBridge("br1", "eth0", "", mtu, sets_mtu=True)
    texts = [change.after or "" for change in file_changes(owner, bridge, configuration(owner, "eth0"))]
    assert sum(text.count(SAYS[owner].format(mtu)) for text in texts) == (1 if owner == "ifupdown" else 2)
    unasked = file_changes(owner, LastingBridge("br1", "eth0", "", 1500), configuration(owner, "eth0"))
    if owner != "ifupdown":  # whose commands always say it
        assert not [change for change in unasked if "mtu" in (change.after or "").lower()]


@pytest.mark.parametrize("owner", FILES)
def test_a_change_of_it_alone_is_written_and_asked_of_a_person(owner: Owner) -> None:
    found = forecast(UpdateNetwork(network=OFFICE, spec=JUMBO), with_mtu(lasting(owner, PLAIN, None), 1500))
    assert found.files != ()
    assert any("9000" in (file.after or "") for file in found.files)
    assert not [file for file in found.files if "9000" in (file.before or "")]
    assert found.guarded is not None


@pytest.mark.parametrize(
    ("owner", "theirs"),
    [
        ("networkd", "[Match]\nName=eth0\n\n[Link]\nMTUBytes=4000\n\n[Network]\nAddress=10.0.0.5/24\n"),
        ("ifupdown", "iface eth0 inet static\n    address 10.0.0.5/24\n    mtu 4000\n"),
        ("netplan", "network:\n  ethernets:\n    eth0:\n      mtu: 4000\n      addresses: [10.0.0.5/24]\n"),
    ],
)
def test_what_the_uplink_s_own_file_says_does_not_win(owner: Owner, theirs: str) -> None:
    found = configuration(owner, "eth0")
    found = found.model_copy(update={"files": (ConfigurationFile(path=found.files[0].path, text=theirs),)})
    ours = [
        one.after or ""
        for one in file_changes(owner, LastingBridge("br1", "eth0", "", 9000, sets_mtu=True), found)
        if one.before is None
    ]
    assert ours != []
    assert not [text for text in ours if "4000" in text]
