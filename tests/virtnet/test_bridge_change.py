"""A bridge that the panel made is to be another: what is done in which order, under which guard, and in which files."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from tests.virtnet.samples import OFFICE, OTHER, host, host_with, link, office, said
from virtnet.actions import DefineNetwork, UndefineNetwork, UpdateNetwork
from virtnet.configuration import ConfigurationFile, FileChange, Lasting, LinkConfiguration, Owner
from virtnet.facts import HostFacts
from virtnet.forecast import forecast
from virtnet.modes.bridge import Bridge
from virtnet.persist import LastingBridge, edits, file_changes, rewritten
from virtnet.persist.marked import without_marks
from virtnet.plan import plan

PLAIN = Bridge(name="office", bridge="br1", uplink="eth0")
TWO = PLAIN.model_copy(update={"second_uplink": "eth1", "stp": True})
MANAGEMENT = IPv4Interface("10.0.0.5/24")


def made(spec: Bridge, **about: object) -> HostFacts:
    """The host once the panel has made br1 as the spec says; it carries what eth0 carried."""
    br1 = link(
        "br1",
        kind="bridge",
        addresses=(MANAGEMENT,),
        made_for=OFFICE.uuid,
        made_with=spec.uplink,
        made_with_second=spec.second_uplink,
        made_with_down=("eth1",) if spec.second_uplink else (),
        stp=spec.stp,
        forward_delay=float(spec.forward_delay) if spec.stp else 0.0,
        up=True,
    )
    second = link("eth1", master="br1" if spec.second_uplink else None, up=spec.second_uplink is not None)
    routes = tuple(route.model_copy(update={"dev": "br1"}) for route in host().routes)
    return host_with(
        *(br1, link("eth0", master="br1", up=True), second),
        **({"networks": (office(spec),), "way_to_panel": "br1", "routes": routes} | about),
    )


def commands(spec: Bridge, facts: HostFacts) -> list[str]:
    return [verb.command for verb in plan(UpdateNetwork(network=OFFICE, spec=spec), facts)]


def test_stp_is_on_before_the_second_cable_comes() -> None:
    told = commands(TWO, made(PLAIN))
    assert told[0].startswith("python3 -I -S guard.py")
    on = told.index("ip link set br1 type bridge forward_delay 1500 stp_state 1")
    second = next(at for at, command in enumerate(told) if "ip link set eth1 master br1" in command)
    # Else STP might prefer its port number, and block the one that carries the host.
    assert "bridge link set dev eth1 priority 40" in told[second]
    assert on < second < told.index("kvmagent keep")


def test_the_second_cable_is_out_before_stp_goes() -> None:
    told = commands(PLAIN, made(TWO))
    out = next(at for at, command in enumerate(told) if "ip link set eth1 nomaster" in command)
    assert told[out].startswith("ip link set eth1 down")  # as it was found
    off = next(at for at, command in enumerate(told) if command.startswith("ip link set br1 type bridge stp_state 0"))
    assert out < off < told.index("kvmagent keep")


def test_the_preview_says_what_its_commands_leave_out() -> None:
    said = [str(verb.left_out) for verb in plan(DefineNetwork(network=OFFICE, spec=PLAIN), host()) if verb.left_out]
    assert len(said) == 1
    assert "the bridge gets the settings of eth0 (sysctl, IPv6 token)" in said[0]
    assert "kvmpanel-detour" in said[0]
    of_networkmanager = lasting("networkmanager", PLAIN, None)
    told = [str(verb.left_out) for verb in plan(UndefineNetwork(network=OFFICE, spec=PLAIN), of_networkmanager)]
    assert [one for one in told if "nmcli device set" in one]
    assert [one for one in told if "brings its profiles up" in one]


def test_without_a_change_of_the_bridge_no_guard_is_armed() -> None:
    for spec in (PLAIN, TWO):
        assert "kvmagent keep" not in commands(spec, made(spec))


@pytest.mark.parametrize(
    ("former", "wanted", "seconds"),
    [
        (PLAIN, TWO, 90),
        (TWO, PLAIN, 90),
        (TWO, TWO.model_copy(update={"forward_delay": 2}), 90),
        (TWO.model_copy(update={"forward_delay": 2}), TWO.model_copy(update={"forward_delay": 30}), 120),
    ],
)
def test_the_window_is_longer_than_the_silence_of_either_bridge(former: Bridge, wanted: Bridge, seconds: int) -> None:
    guarded = forecast(UpdateNetwork(network=OFFICE, spec=wanted), made(former)).guarded
    assert guarded is not None
    assert (str(guarded.why), guarded.asks) == ("br1 carries the way to the panel.", "person")
    assert guarded.seconds == seconds
    assert guarded.hanging.networks == ("office",)


def test_the_forecast_shows_what_comes_and_what_goes() -> None:
    found = forecast(UpdateNetwork(network=OFFICE, spec=TWO), made(PLAIN))
    assert found.before.splitlines()[:2] == [
        "link br1 type bridge mtu 0 up",
        "link eth1 mtu 0 down",
    ]
    assert found.after.splitlines()[:2] == [
        "link br1 type bridge mtu 0 up stp_state 1 forward_delay 1500",
        "link eth1 master br1 mtu 0 up",
    ]
    back = forecast(UpdateNetwork(network=OFFICE, spec=PLAIN), made(TWO))
    assert (back.before, back.after) == (found.after, found.before)


def test_a_removal_says_that_vlans_do_not_come_again() -> None:
    facts, action = made(PLAIN), UndefineNetwork(network=OFFICE, spec=PLAIN)
    assert action.notes(facts) == []
    links = tuple(one.model_copy(update={"vlan_filtering": one.name == "br1"}) for one in facts.links)
    facts = facts.model_copy(update={"links": links})
    assert [str(note.text) for note in action.notes(facts)] == [
        "Somebody has set br1 to tell VLANs apart. If its removal is taken back, it comes without that, and without "
        "its ports' VLANs."
    ]
    guest_s_tap = link("vnet7", kind="tun", master="br1")
    assert action.notes(facts.model_copy(update={"links": (*links, guest_s_tap)})) == []  # it stays


@pytest.mark.parametrize(("former", "wanted"), [(PLAIN, TWO), (TWO, PLAIN)])
def test_nothing_stands_in_its_way(former: Bridge, wanted: Bridge) -> None:
    assert wanted.problems(made(former), OFFICE) == []


def test_a_second_cable_without_stp_is_named() -> None:
    wanted = PLAIN.model_copy(update={"second_uplink": "eth1"})
    sentence = "eth0 and eth1 in one LAN are a loop without STP: broadcasts go round until nothing else does."
    assert said(wanted.problems(made(PLAIN), OFFICE)) == [("stp", sentence)]


def test_stp_stays_while_somebody_else_s_cable_is_in_the_bridge() -> None:
    facts = made(TWO)
    links = tuple(one.model_copy(update={"master": "br1"}) if one.name == "eth2" else one for one in facts.links)
    facts = facts.model_copy(update={"links": links})
    assert said(PLAIN.problems(facts, OFFICE)) == [("stp", "br1 has the port eth2 too: without STP it may be a loop.")]


def test_the_first_uplink_stays() -> None:
    wanted = PLAIN.model_copy(update={"uplink": None})
    assert said(wanted.problems(made(PLAIN), OFFICE)) == [("uplink", "br1 was made over eth0, which stays its port.")]


# What a host has of each owner before: (path, text).
FILES: dict[Owner, tuple[str, str]] = {
    "ifupdown": (
        "/etc/network/interfaces",
        "auto eth0 eth1\niface eth0 inet static\n    address 10.0.0.5/24\niface eth1 inet manual\n",
    ),
    "networkd": ("/etc/systemd/network/20-wired.network", "[Match]\nName=eth*\n\n[Network]\nAddress=10.0.0.5/24\n"),
    "netplan": (
        "/etc/netplan/01-netcfg.yaml",
        "network:\n  version: 2\n  ethernets:\n"
        "    eth0:\n      addresses: [10.0.0.5/24]\n    eth1:\n      optional: true\n",
    ),
    "networkmanager": (
        "/etc/NetworkManager/system-connections/wired.nmconnection",
        "[connection]\nid=wired\n\n[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\n",
    ),
}


def configuration(owner: Owner, name: str) -> LinkConfiguration:
    path, text = FILES[owner]
    return LinkConfiguration(link=name, owner=owner, files=(ConfigurationFile(path=path, text=text),))


def written(owner: Owner, spec: Bridge) -> list[FileChange]:
    """As the panel writes such a bridge where none is written yet."""
    bridge = LastingBridge(
        "br1", "eth0", "", 0, second=spec.second_uplink, forward_delay=spec.forward_delay if spec.stp else 0
    )
    second = configuration(owner, "eth1") if spec.second_uplink else None
    return file_changes(owner, bridge, configuration(owner, "eth0"), second)


def lasting(owner: Owner, spec: Bridge, second: str | None) -> HostFacts:
    """The host with the bridge as the spec says, written into its configuration."""
    one = Lasting(
        bridge="br1",
        owner=owner,
        uplink=configuration(owner, "eth0"),
        second=configuration(owner, second) if second else None,
        changes=tuple(written(owner, spec)),
    )
    return made(spec, configurations=(configuration(owner, "eth1"),), lasting=(one,))


@pytest.mark.parametrize("owner", FILES)
@pytest.mark.parametrize(("former", "wanted"), [(PLAIN, TWO), (TWO, PLAIN)])
def test_the_files_become_those_of_such_a_bridge(owner: Owner, former: Bridge, wanted: Bridge) -> None:
    facts = lasting(owner, former, former.second_uplink)
    texts: dict[str, str | None] = {change.path: change.after for change in written(owner, former)}
    files = forecast(UpdateNetwork(network=OFFICE, spec=wanted), facts).files
    for file in files:
        assert file.before == texts.get(file.path)
        texts[file.path] = file.after
    there = {path: text for path, text in texts.items() if text is not None}
    assert there == {change.path: change.after for change in written(owner, wanted)}
    assert wanted.problems(facts, OFFICE) == []


@pytest.mark.parametrize("owner", FILES)
def test_without_a_change_of_the_bridge_no_file_is_touched(owner: Owner) -> None:
    assert forecast(UpdateNetwork(network=OFFICE, spec=TWO), lasting(owner, TWO, "eth1")).files == ()


@pytest.mark.parametrize("owner", ["ifupdown", "netplan"])
def test_what_others_have_written_since_stays_and_is_no_reason_to_write(owner: Owner) -> None:
    (one,) = lasting(owner, PLAIN, None).lasting
    path, _ = FILES[owner]
    now = {change.path: change.after or "" for change in one.changes}
    now[path] += "# theirs\n"
    as_it_is = rewritten(LastingBridge("br1", "eth0", "", 0), one, None, now)
    assert edits(one.changes, as_it_is, now, "br1") == []
    two = LastingBridge("br1", "eth0", "", 0, second="eth1", forward_delay=4)
    (_, theirs) = edits(one.changes, rewritten(two, one, configuration(owner, "eth1"), now), now, "br1")
    assert theirs.path == path
    assert "# theirs\n" in (theirs.after or "")
    assert without_marks(theirs.after or "", "br1") == FILES[owner][1] + "# theirs\n"


def test_another_network_on_the_bridge_touches_no_file_of_it() -> None:
    facts = lasting("networkd", PLAIN, None)
    links = tuple(
        one.model_copy(update={"made_for": OTHER}) if one.made_for is not None else one for one in facts.links
    )
    facts = facts.model_copy(update={"links": links})
    assert forecast(UpdateNetwork(network=OFFICE, spec=Bridge(name="office", bridge="br1")), facts).files == ()


def test_a_second_uplink_that_cannot_be_written_is_refused_before() -> None:
    facts = lasting("networkd", PLAIN, None)
    of_another = LinkConfiguration(link="eth1", owner="networkmanager")
    facts = facts.model_copy(update={"configurations": (of_another,)})
    (problem,) = TWO.problems(facts, OFFICE)
    assert (problem.field, str(problem.text), str(problem.fix)) == (
        "lasts",
        "eth1 is configured by NetworkManager, eth0 is not: one of them must have both.",
        "Change the host's configuration first.",
    )
