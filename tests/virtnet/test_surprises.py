"""What on a host surprises people: found in its facts, told in plain words, each with its fix."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from time import process_time

import pytest

from tests.virtnet.samples import BRIDGE, HOST_ONLY, NAT, OFFICE, host, host_with, link
from virtnet.actions import DefineNetwork
from virtnet.facts import Filtering, HostFacts
from virtnet.link_facts import Route
from virtnet.surprises import LOOKS, bridge_makes_a_loop, surprises

DROP = Filtering(dropping=("ip filter FORWARD",))
DOCKER = Filtering(dropping=("ip filter FORWARD",), docker=True)
BR_NETFILTER = Filtering(br_netfilter=True)
DEFAULT = IPv4Network("0.0.0.0/0")


def said(facts: HostFacts) -> list[str]:
    return [f"{one.text} {one.fix}" for one in surprises(facts)]


def quiet(**about: object) -> HostFacts:
    """The sample host without its Wi-Fi."""
    return host(links=tuple(one for one in host().links if not one.wireless), **about)


def test_an_ordinary_host_has_none() -> None:
    assert said(quiet()) == []


def test_docker_s_forward_drop_is_named_with_the_two_rules_that_help() -> None:
    (found,) = said(quiet(filtering=DOCKER))
    assert found.startswith("Docker's FORWARD chain drops what it does not know")
    assert "iptables -I DOCKER-USER -i virbr+ -j ACCEPT" in found


def test_another_firewall_s_drop_is_named_with_its_chain() -> None:
    (found,) = said(quiet(filtering=DROP))
    assert "by the policy of its chain ip filter FORWARD" in found


def test_legacy_rules_are_mended_with_the_legacy_program() -> None:
    dropping = ("iptables-legacy filter FORWARD",)
    (docker,) = said(quiet(filtering=Filtering(dropping=dropping, docker=True)))
    assert "iptables-legacy -I DOCKER-USER -i virbr+ -j ACCEPT" in docker
    (other,) = said(quiet(filtering=Filtering(dropping=dropping)))
    assert "by the policy of its chain iptables-legacy filter FORWARD" in other
    assert "`iptables-legacy-save` shows it" in other


def test_legacy_rules_that_nobody_can_list_are_told() -> None:
    (found,) = said(quiet(filtering=Filtering(legacy_unread=True)))
    assert "iptables-legacy here that the agent cannot list" in found
    assert "Install the package iptables" in found


def test_br_netfilter_says_whether_bridged_packets_are_dropped_already() -> None:
    (found,) = said(quiet(filtering=BR_NETFILTER))
    assert "may drop them" in found
    both = said(quiet(filtering=DOCKER.model_copy(update={"br_netfilter": True})))
    assert "its FORWARD chain drops them" in both[1]
    assert "bridge-nf-call-iptables=0" in both[1]


def test_firewalld_is_named() -> None:
    (found,) = said(quiet(filtering=Filtering(firewalld=True)))
    assert "zone libvirt" in found


def test_a_strict_rp_filter_is_no_surprise_on_a_host_with_one_link() -> None:
    assert said(quiet(filtering=Filtering(strict_rp_filter=("eth0",)))) == []


def test_a_strict_rp_filter_matters_with_two_default_routes() -> None:
    ways_out = tuple(Route(dst=DEFAULT, gateway=IPv4Address("10.0.0.1"), dev=dev) for dev in ("eth0", "eth1"))
    facts = quiet(routes=ways_out, filtering=Filtering(strict_rp_filter=("eth0", "eth2")))
    (found,) = said(facts)
    assert found.startswith("rp_filter is strict on eth0,")
    assert "sysctl net.ipv4.conf.eth0.rp_filter=2" in found


def test_a_strict_rp_filter_matters_with_two_links_in_one_subnet() -> None:
    second = link("eth1.7", kind="vlan", addresses=(IPv4Interface("10.0.0.6/24"),))
    links = tuple(one for one in host_with(second).links if not one.wireless)
    (found,) = said(host(links=links, filtering=Filtering(strict_rp_filter=("eth1.7",))))
    assert "sysctl net.ipv4.conf.eth1/7.rp_filter=2" in found


def test_a_wi_fi_link_that_is_up_is_named() -> None:
    (found,) = said(host_with(link("wlan0", wireless=True, up=True)))
    assert found == "wlan0 is a Wi-Fi link: bridges and macvtap do not work over it. Use NAT, or a cable."
    assert said(host_with(link("wlan0", wireless=True, up=False))) == []


def test_two_uplinks_on_a_bridge_without_stp_are_a_loop() -> None:
    ports = (link("eth1", master="br0"), link("eth2", master="br0"), link("vnet0", kind="tun", master="br0"))
    (found,) = [one for one in said(host_with(*ports, link("br0", kind="bridge", stp=False))) if "loop" in one]
    assert "The bridge br0 has the uplinks eth1, eth2 and no STP" in found
    assert not any("loop" in one for one in said(host_with(*ports, link("br0", kind="bridge", stp=True))))


def test_containers_on_a_bridge_are_no_loop() -> None:
    containers = (link("veth1", kind="veth", master="br0"), link("veth2", kind="veth", master="br0"))
    facts = host_with(*containers, link("br0", kind="bridge", stp=False))
    assert bridge_makes_a_loop(facts, "br0") == []  # eth2 alone is an uplink


def test_an_uplink_that_would_be_the_second_is_told_before() -> None:
    facts = host_with(link("br0", kind="bridge", stp=False))
    assert bridge_makes_a_loop(facts, "br0") == []
    assert len(bridge_makes_a_loop(facts, "br0", and_uplink="eth1")) == 1


@pytest.mark.parametrize(
    ("forwards", "sentence"),
    [(("eth0",), "is gone, or will be"), ((), "It loses it once IPv6 is forwarded")],
)
def test_a_default_route_from_router_advertisements_is_named(forwards: tuple[str, ...], sentence: str) -> None:
    (found,) = said(quiet(filtering=Filtering(accept_ra=("eth0",), forwards_ipv6=forwards)))
    assert sentence in found
    assert "sysctl net.ipv6.conf.eth0.accept_ra=2" in found


def test_the_forms_say_what_concerns_their_mode() -> None:
    everything = DOCKER.model_copy(update={"br_netfilter": True, "firewalld": True})
    facts = host(filtering=everything)

    def notes(spec: object) -> str:
        action = DefineNetwork.model_validate({"network": OFFICE, "spec": spec})
        assert action.problems(facts) == []
        return " ".join(str(note.text) for note in action.notes(facts))

    assert "Docker" in notes(NAT)
    assert "firewalld" in notes(NAT)
    assert "br_netfilter" not in notes(NAT)
    assert "firewalld" in notes(HOST_ONLY)
    assert "br_netfilter" in notes(BRIDGE.model_copy(update={"lasts": False}))


def test_each_surprise_has_its_fix_and_each_look_its_own_name() -> None:
    everything = Filtering(
        dropping=("ip filter FORWARD",), firewalld=True, br_netfilter=True, accept_ra=("eth0",), forwards_ipv6=()
    )
    facts = host_with(
        link("wlan0", wireless=True, up=True, addresses=(IPv6Interface("fe80::7/64"),)), filtering=everything
    )
    found = surprises(facts)
    assert len(found) == 5
    assert all(one.fix is not None for one in found)
    assert len({look.name for look in LOOKS}) == len(LOOKS)


def test_very_many_links_take_the_host_s_page_no_time() -> None:
    address = (IPv4Interface("10.0.0.1/24"),)
    links = tuple(link(f"veth{n}", kind="veth", index=n, addresses=address) for n in range(10_000))
    begun = process_time()
    assert surprises(host_with(*links)) == []
    assert process_time() - begun < 5  # a tenth of it; each link held against each other takes ten times as much
