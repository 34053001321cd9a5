"""What else decides about packets on a host, read from a kernel of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from kvmagent import filtering, links
from virtnet.facts import Filtering, HostFacts
from virtnet.firewall import NetworkRules
from virtnet.firewall import ruleset as firewall_ruleset
from virtnet.inbound import InboundPolicy, ruleset
from virtnet.surprises import bridges_pass_iptables

pytestmark = pytest.mark.usefixtures("own_network")

MAC = "52:54:00:aa:00:01"


DOCKER_S_FORWARD = "add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }\n"


def nft(commands: str) -> str:
    return subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True, stdout=subprocess.PIPE).stdout


def read() -> Filtering:
    found_links = links.read_links()
    return filtering.read(found_links, links.read_routes(found_links))


def write(sysctl: str, value: str) -> None:
    (Path("/proc/sys/net") / sysctl).write_text(value)


def add_link(name: str, address: str) -> None:
    with IPRoute() as netlink:
        netlink.link("add", ifname=name, kind="veth", peer=f"{name}-peer")
        index = netlink.link_lookup(ifname=name)[0]
        netlink.addr("add", index=index, address=address.partition("/")[0], prefixlen=int(address.partition("/")[2]))


def test_a_kernel_of_its_own_has_nothing_of_it() -> None:
    write("bridge/bridge-nf-call-iptables", "0")
    assert read() == Filtering()


def test_chains_that_drop_by_their_policy_are_named_and_ours_is_not() -> None:
    nft(
        "add table ip filter\n"
        "add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }\n"
        "add chain ip filter INPUT { type filter hook input priority filter; policy drop; }\n"
        "add table inet kvmpanel\n"
        "add chain inet kvmpanel forward { type filter hook forward priority filter; policy drop; }\n"
    )
    assert (read().dropping, read().docker) == (("ip filter FORWARD",), False)
    nft("add chain ip filter DOCKER-USER")
    assert read().docker


def legacy(*arguments: str) -> None:
    subprocess.run(["iptables-legacy", *arguments], check=True)


def test_a_kernel_without_legacy_rules_is_given_none_by_the_look() -> None:
    read()
    assert Path("/proc/thread-self/net/ip_tables_names").read_text() == ""


def test_a_forward_chain_of_iptables_legacy_that_drops_is_named() -> None:
    legacy("-P", "FORWARD", "DROP")
    assert (read().dropping, read().docker) == (("iptables-legacy filter FORWARD",), False)
    assert nftables_knows_nothing_of_it()
    legacy("-N", "DOCKER-USER")
    assert read().docker
    legacy("-P", "FORWARD", "ACCEPT")
    assert (read().dropping, read().legacy_unread) == ((), False)


def nftables_knows_nothing_of_it() -> bool:
    return (
        "FORWARD" not in subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    )


def test_legacy_rules_that_cannot_be_listed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    legacy("-P", "FORWARD", "DROP")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert (read().dropping, read().legacy_unread) == ((), True)


def test_the_panel_s_rules_are_in_force_only_while_the_kernel_has_all_of_them() -> None:
    rules = NetworkRules(bridge="virbr1", subnet=IPv4Network("192.168.77.0/24"), masquerade=True)
    text = firewall_ruleset([rules])
    assert filtering.in_force(None) is None
    assert filtering.in_force(text) is False
    nft(text)
    assert filtering.in_force(text) is True
    nft("add rule inet kvmpanel forward accept")
    assert filtering.in_force(text) is False
    nft("flush ruleset")
    assert filtering.in_force(text) is False


def test_firewalld_s_table_is_known() -> None:
    nft("add table inet firewalld\nadd chain inet firewalld filter_FORWARD\n")
    assert read().firewalld


def test_br_netfilter_is_read_from_this_network_s_own_switch() -> None:
    write("bridge/bridge-nf-call-iptables", "1")
    assert read().br_netfilter
    write("bridge/bridge-nf-call-iptables", "0")
    assert not read().br_netfilter


def test_what_is_named_is_what_drops_the_packets_of_bridged_guests_and_nothing_of_it_is_changed() -> None:
    with two_guests_on_a_bridge() as (guest, other):
        write("bridge/bridge-nf-call-iptables", "1")
        assert pings(guest, other)
        nft("add table ip filter\nadd chain ip filter DOCKER-USER\n" + DOCKER_S_FORWARD)
        assert not pings(guest, other)
        before = nft("list ruleset")
        sentences = [str(problem.text) for problem in bridges_pass_iptables(HostFacts(filtering=read()))]
        assert len(sentences) == 1
        assert "br_netfilter is on" in sentences[0]
        assert "its FORWARD chain drops them" in sentences[0]
        assert nft("list ruleset") == before
        assert (Path("/proc/sys/net") / "bridge/bridge-nf-call-iptables").read_text() == "1\n"
        # The fix that is named with it.
        write("bridge/bridge-nf-call-iptables", "0")
        assert pings(guest, other)


@contextmanager
def two_guests_on_a_bridge() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces with 192.0.2.1 and .2, each behind a port of br7."""
    names = [f"kf{os.getpid()}{letter}" for letter in "ab"]
    ip("link add br7 type bridge")
    ip("link set br7 up")
    try:
        for number, name in enumerate(names, 1):
            ip(f"netns add {name}")
            ip(f"link add port{number} type veth peer name eth0 netns {name}")
            ip(f"link set port{number} master br7 up")
            ip(f"-n {name} address add 192.0.2.{number}/24 dev eth0")
            ip(f"-n {name} link set eth0 up")
        yield names[0], "192.0.2.2"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)


def pings(namespace: str, address: str) -> bool:
    ping = ["ip", "netns", "exec", namespace, "ping", "-c1", "-W1", address]
    return subprocess.run(ping, check=False, capture_output=True).returncode == 0


def test_rp_filter_is_the_larger_of_the_link_s_and_of_all_s() -> None:
    add_link("eth7", "192.0.2.1/24")
    for everywhere, own, strict in (("0", "0", ()), ("1", "0", ("eth7",)), ("0", "1", ("eth7",)), ("1", "2", ())):
        write("ipv4/conf/all/rp_filter", everywhere)
        write("ipv4/conf/eth7/rp_filter", own)
        assert read().strict_rp_filter == strict, (everywhere, own)


def test_a_link_with_a_route_of_a_router_s_advertisement_is_watched_for_forwarding() -> None:
    add_link("eth7", "2001:db8::1/64")
    assert read().accept_ra == ()
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname="eth7")[0]
        netlink.link("set", index=netlink.link_lookup(ifname="eth7-peer")[0], state="up")
        netlink.link("set", index=index, state="up")
        netlink.route("add", family=10, dst="default", oif=index, proto=9)  # RTPROT_RA
    assert (read().accept_ra, read().forwards_ipv6) == (("eth7",), ())
    write("ipv6/conf/eth7/forwarding", "1")
    assert (read().accept_ra, read().forwards_ipv6) == (("eth7",), ("eth7",))
    write("ipv6/conf/eth7/accept_ra", "2")
    assert read().accept_ra == ()


def test_a_card_is_judged_once_its_chain_is_loaded() -> None:
    assert not filtering.judges(MAC)
    nft(ruleset({MAC: InboundPolicy()}))
    assert filtering.judges(MAC)
    nft("flush ruleset")
    assert not filtering.judges(MAC)
