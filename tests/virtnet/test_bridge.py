from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import BRIDGE, MAC, OFFICE, OTHER, guest, host, host_with, link, network, office, said
from virtnet.actions import DefineNetwork, UndefineNetwork
from virtnet.configuration import Lasting, LinkConfiguration
from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.link_facts import Link
from virtnet.modes.bridge import Bridge
from virtnet.plan import plan
from virtnet.text import text

ON_BR0 = Bridge(name="office", bridge="br0")


def with_uplink(uplink: str, *, bridge: str = "br1") -> Bridge:
    return Bridge(name="office", bridge=bridge, uplink=uplink)


def test_a_new_bridge_takes_a_free_uplink() -> None:
    assert BRIDGE.problems(host(), OFFICE) == []


def test_an_existing_bridge_needs_no_uplink() -> None:
    assert ON_BR0.problems(host(), OFFICE) == []


def test_a_bridge_without_uplink_may_be_new() -> None:
    assert Bridge(name="office", bridge="br9").problems(host(), OFFICE) == []


def test_an_uplink_that_is_its_port_already_is_right_even_with_the_host_s_address_left_on_it() -> None:
    facts = host_with(link("eth2", master="br0", addresses=(IPv4Interface("10.9.9.9/24"),)))
    assert with_uplink("eth2", bridge="br0").problems(facts, OFFICE) == []


@pytest.mark.parametrize(
    ("uplink", "sentence", "fix"),
    [
        ("eth9", "This host has no link eth9.", "Choose a link from the host's list."),
        (
            "wlan0",
            "wlan0 is a Wi-Fi link: its frames have 3 addresses, so the access point drops those of a guest with a MAC "
            "address of its own.",
            "Use a cable, or choose NAT.",
        ),
        ("eth2", "eth2 is a port of br0 already.", "Use br0 as the bridge, or another uplink."),
        (
            "br0",
            "br0 is a bridge, and a bridge cannot be a port of another.",
            "Use br0 as the bridge, without an uplink.",
        ),
        ("lo", "lo leads to no LAN.", "Choose a network card, a bond or a VLAN."),
    ],
)
def test_it_refuses_an_uplink_and_says_why_and_what_to_do(uplink: str, sentence: str, fix: str) -> None:
    first = with_uplink(uplink).problems(host(), OFFICE)[0]
    assert (first.field, str(first.text), str(first.fix)) == ("uplink", sentence, fix)


def test_it_refuses_a_guest_s_tap_as_uplink() -> None:
    facts = host_with(link("vnet7", kind="tun"))
    assert said(with_uplink("vnet7").problems(facts, OFFICE)) == [("uplink", "vnet7 leads to no LAN.")]


def test_an_uplink_that_carries_the_host_is_taken_with_all_that_it_carries() -> None:
    assert with_uplink("eth0").problems(host(), OFFICE) == []


def test_it_refuses_an_address_from_dhcp() -> None:
    address = IPv4Interface("10.8.0.5/24")
    facts = host_with(link("eth1", addresses=(address,), dynamic=(address,)))
    assert said(BRIDGE.problems(facts, OFFICE)) == [
        (
            "uplink",
            "eth1 has its address 10.8.0.5/24 from DHCP: on a port its client would not hear the answers, and the "
            "lease would run out.",
        )
    ]


def test_it_refuses_an_uplink_that_carries_a_macvtap_network() -> None:
    xml = "<network><forward mode='vepa'><interface dev='eth1'/></forward></network>"
    facts = host(networks=(network("voip", "macvtap", devs=("eth1",), xml=xml),))
    assert said(BRIDGE.problems(facts, OFFICE)) == [("uplink", "eth1 carries the macvtap network voip.")]


def test_it_refuses_an_uplink_on_which_a_guest_that_is_shut_off_will_be() -> None:
    card = InterfaceFacts(mac=MAC, type="direct", source="eth1", source_mode="bridge", live=False)
    facts = host(domains=(guest("db1", state="shut off").model_copy(update={"interfaces": (card,)}),))
    (problem,) = BRIDGE.problems(facts, OFFICE)
    assert str(problem.text) == f"eth1 carries the card {MAC} of db1 by macvtap."
    assert str(problem.fix) == "Choose another uplink, or unplug the card first."


def test_a_routed_network_over_its_uplink_is_not_in_its_way() -> None:
    assert BRIDGE.problems(host(networks=(network("lab", "route", devs=("eth1",)),)), OFFICE) == []


@pytest.mark.parametrize("taken", [link("br1", kind="vlan"), link("br1")])
def test_it_refuses_a_bridge_name_that_is_no_bridge(taken: Link) -> None:
    assert said(BRIDGE.problems(host_with(taken), OFFICE)) == [("bridge", "br1 is a link of this host, but no bridge.")]


def test_it_refuses_the_bridge_that_libvirt_makes_for_another_network() -> None:
    facts = host_with(link("br1", kind="bridge"), networks=(network("default", "nat", bridge="br1"),))
    assert said(BRIDGE.problems(facts, OFFICE)) == [
        ("bridge", "br1 is made by libvirt for the network default, and goes when that is stopped.")
    ]


def test_it_refuses_such_a_bridge_while_that_network_is_stopped() -> None:
    stopped = NetworkFacts(name="default", uuid=OTHER, active=False, mode="nat", bridge="br1")
    assert [problem.field for problem in BRIDGE.problems(host(networks=(stopped,)), OFFICE)] == ["bridge"]


def test_two_networks_may_share_a_bridge() -> None:
    assert ON_BR0.problems(host(networks=(network("lan", "bridge", bridge="br0"),)), OFFICE) == []


def test_it_refuses_a_name_that_another_network_has() -> None:
    facts = host(networks=(network("office", "nat"),))
    assert said(ON_BR0.problems(facts, OFFICE)) == [("name", "This host has a network office already.")]


def test_it_is_never_in_its_own_way() -> None:
    facts = host_with(link("br1", kind="bridge"), link("eth1", master="br1"), networks=(office(BRIDGE),))
    assert BRIDGE.problems(facts, OFFICE) == []


def test_a_host_that_told_nothing_has_no_such_uplink() -> None:
    assert said(BRIDGE.problems(HostFacts(), OFFICE)) == [("uplink", "This host has no link eth1.")]


@pytest.mark.parametrize("bridge", ["bridge-of-16-char", "br 0", "../br0", "br0;reboot", ".", "..", "", "all"])
def test_it_refuses_a_name_that_no_link_can_have(bridge: str) -> None:
    with pytest.raises(ValidationError):
        Bridge(name="office", bridge=bridge)


def test_it_refuses_a_bridge_that_is_its_own_uplink() -> None:
    with pytest.raises(ValidationError, match="cannot be a port of itself"):
        Bridge(name="office", bridge="br0", uplink="br0")


def test_who_reaches_whom() -> None:
    assert {cell: answer.reachable for cell, answer in BRIDGE.reachability().rows()} == {
        "guest_to_internet": "depends",
        "guest_to_host": "yes",
        "guest_to_lan": "yes",
        "lan_to_guest": "yes",
        "guest_to_guest": "yes",
    }


def test_without_an_uplink_it_depends_on_the_ports_that_the_bridge_has() -> None:
    assert {cell: answer.reachable for cell, answer in ON_BR0.reachability().rows()} == {
        "guest_to_internet": "depends",
        "guest_to_host": "depends",
        "guest_to_lan": "depends",
        "lan_to_guest": "depends",
        "guest_to_guest": "yes",
    }


def test_nobody_is_deceived_about_how_long_a_bridge_lasts() -> None:
    for_now = BRIDGE.model_copy(update={"lasts": False})
    assert "If the panel makes br1, it lasts until the host's next start." in str(for_now.effect())
    assert "next start" not in str(BRIDGE.effect())


def test_it_is_written_into_the_host_s_configuration_and_its_network_comes_after_that() -> None:
    texts = [str(verb.text) for verb in plan(DefineNetwork(network=OFFICE, spec=BRIDGE), host())]
    written = texts.index(
        "Write br1 into this host's configuration (systemd-networkd), so that it is there after a restart."
    )
    assert written < texts.index("Define the network office.")


def test_one_that_lasts_until_the_next_start_is_written_nowhere() -> None:
    spec = BRIDGE.model_copy(update={"lasts": False})
    assert not [verb for verb in plan(DefineNetwork(network=OFFICE, spec=spec), host()) if verb.document[:1] == "#"]


def test_an_unknown_owner_is_refused_with_the_reason_and_until_the_next_start_is_offered() -> None:
    nobody = LinkConfiguration(link="eth1", why=text("Of ifupdown, netplan none runs here."))
    facts = host(configurations=(nobody,))
    (problem,) = BRIDGE.problems(facts, OFFICE)
    assert (problem.field, str(problem.text)) == ("lasts", "Of ifupdown, netplan none runs here.")
    assert str(problem.fix).startswith("Let the bridge last until the host's next start")
    assert BRIDGE.model_copy(update={"lasts": False}).problems(facts, OFFICE) == []


def test_a_bridge_that_an_earlier_version_made_until_the_next_start_reads_so() -> None:
    earlier = Bridge.model_validate_json('{"mode": "bridge", "name": "office", "bridge": "br1", "uplink": "eth1"}')
    made = host_with(link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1"), link("eth1", master="br1"))
    assert not earlier.as_found(made).lasts
    assert earlier.as_found(made.model_copy(update={"lasting": (Lasting(bridge="br1", owner="networkd"),)})).lasts
    assert earlier.as_found(host()).lasts  # not there yet
    assert ON_BR0.as_found(host()).lasts  # of others: nothing is known of it


def test_a_bridge_that_lasts_already_cannot_be_made_not_to() -> None:
    facts = host_with(
        link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1"),
        link("eth1", master="br1"),
        lasting=(Lasting(bridge="br1", owner="networkd"),),
    )
    assert BRIDGE.problems(facts, OFFICE) == []
    assert said(BRIDGE.model_copy(update={"lasts": False}).problems(facts, OFFICE)) == [
        ("lasts", "br1 is in the host's own configuration already.")
    ]


def test_undefining_takes_it_out_of_the_configuration_when_the_bridge_goes() -> None:
    facts = host_with(
        link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1"),
        link("eth1", master="br1"),
        networks=(office(BRIDGE),),
        lasting=(Lasting(bridge="br1", owner="ifupdown"),),
    )
    (_, forgets, *_) = plan(UndefineNetwork(network=OFFICE, spec=BRIDGE), facts)
    assert str(forgets.text) == "Take br1 out of this host's configuration (ifupdown)."
    stays = facts.model_copy(update={"networks": (*facts.networks, network("lan2", "bridge", bridge="br1"))})
    (*_, last) = plan(UndefineNetwork(network=OFFICE, spec=BRIDGE), stays)
    assert str(last.text) == "Undefine the network office."


def test_it_has_no_rules_in_the_firewall() -> None:
    assert BRIDGE.firewall_rules() is None


def test_the_form_offers_the_host_s_uplinks() -> None:
    from virtnet.fields import offered_by

    assert offered_by(tuple(Bridge.model_fields["uplink"].metadata)) == "uplinks"
