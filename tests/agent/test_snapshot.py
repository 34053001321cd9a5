"""Each kind of change to a host's network is seen, named in plain words, and gone when it is taken back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from kvmagent import snapshot

pytestmark = pytest.mark.usefixtures("own_network")


def sh(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


@pytest.fixture(autouse=True)
def _host(own_network: None) -> None:
    Path("/proc/sys/net/ipv6/conf/default/dad_transmits").write_text("0")
    sh("ip link add e0 type veth peer name e1")
    for link in ("lo", "e0", "e1"):
        sh(f"ip link set {link} up")
    sh("ip address add 10.1.0.1/24 dev e0")
    sh("ip address add 2001:db8::1/64 dev e0 nodad")
    deadline = time.monotonic() + 10
    while any("fe80::" not in shown(f"ip -6 address show {link}") for link in ("e0", "e1")):
        assert time.monotonic() < deadline, "the kernel gave no link-local address"
        time.sleep(0.02)


def shown(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def changed(before: snapshot.Snapshot) -> list[str]:
    return [str(difference) for difference in snapshot.differences(before, snapshot.take())]


def test_nothing_changes_by_itself() -> None:
    sh("ip address add 2001:db8::7/64 dev e0 valid_lft 900 preferred_lft 600 nodad")
    before = snapshot.take()
    sh("ping -c2 -i1.1 -q 10.1.0.1")  # lifetimes go down, counters up
    assert changed(before) == []


# What is done, how it is taken back, and of what the difference tells.
CHANGES = [
    ("ip link set e0 mtu 1400", "ip link set e0 mtu 1500", "e0 link"),
    ("ip link set e0 alias cellar", "ip link set e0 alias ", "e0 link"),
    ("ip link set e0 promisc on", "ip link set e0 promisc off", "e0 link"),
    ("ip address add 10.2.0.1/24 dev e0 noprefixroute", "ip address del 10.2.0.1/24 dev e0", "e0 address 10.2.0.1/24"),
    (
        "ip address change 2001:db8::1/64 dev e0 valid_lft 900 preferred_lft 600",
        "ip address change 2001:db8::1/64 dev e0 valid_lft forever preferred_lft forever nodad",
        "e0 address 2001:db8::1/64",
    ),
    ("ip route add 10.9.0.0/16 via 10.1.0.9", "ip route del 10.9.0.0/16", "e0 route 10.9.0.0/16 table 254"),
    (
        "ip route add 10.9.0.0/16 via 10.1.0.9 table 77 metric 5",
        "ip route flush table 77",
        "e0 route 10.9.0.0/16 table 77 metric 5",
    ),
    (
        "ip -6 route add default via 2001:db8::9 metric 100",
        "ip -6 route del default via 2001:db8::9 metric 100",
        "e0 route default/0 table 254 metric 100",
    ),
    (
        "ip route add 10.8.0.0/16 nexthop via 10.1.0.8 nexthop via 10.1.0.9",
        "ip route del 10.8.0.0/16",
        "route 10.8.0.0/16",
    ),
    ("ip route add blackhole 10.7.0.0/16", "ip route del blackhole 10.7.0.0/16", "route 10.7.0.0/16"),
    (
        "ip rule add from 10.1.0.0/24 lookup 77 priority 90",
        "ip rule del from 10.1.0.0/24 lookup 77 priority 90",
        "rule AF_INET ",
    ),
    ("ip -6 rule add fwmark 7 lookup 77", "ip -6 rule del fwmark 7 lookup 77", "rule AF_INET6 "),
    (
        "ip neighbour add 10.1.0.5 lladdr 52:54:00:00:00:05 dev e0",
        "ip neighbour del 10.1.0.5 dev e0",
        "e0 neighbour 10.1.0.5",
    ),
    ("sysctl -w net.ipv4.conf.e0.rp_filter=2", "sysctl -w net.ipv4.conf.e0.rp_filter=0", "e0 sysctl ipv4 rp_filter"),
    ("sysctl -w net.ipv6.conf.e0.accept_ra=2", "sysctl -w net.ipv6.conf.e0.accept_ra=1", "e0 sysctl ipv6 accept_ra"),
    ("sysctl -w net.ipv4.conf.all.arp_ignore=1", "sysctl -w net.ipv4.conf.all.arp_ignore=0", "all sysctl ipv4 arp_"),
]


@pytest.mark.parametrize(("change", "back", "told"), CHANGES, ids=[change for change, _, _ in CHANGES])
def test_a_change_is_named_and_gone_when_it_is_taken_back(change: str, back: str, told: str) -> None:
    sh("sysctl -w net.ipv4.conf.e0.rp_filter=0")
    before = snapshot.take()
    sh(change)
    (difference,) = changed(before)
    assert difference.startswith(told)
    subprocess.run(back.split(" "), check=True, capture_output=True)
    assert changed(before) == []


def test_a_route_that_came_back_with_another_proto_or_source_is_another() -> None:
    sh("ip route add default via 10.1.0.9 proto dhcp src 10.1.0.1 metric 100")
    before = snapshot.take()
    sh("ip route replace default via 10.1.0.9 src 10.1.0.1 metric 100")
    (difference,) = changed(before)
    was, now = difference.split(" and is now ")
    assert was.startswith("e0 route default/0 table 254 metric 100")
    assert "proto 16 " in was
    assert "proto 3 " in now


def test_of_two_routes_that_differ_in_their_gateway_alone_both_are_there() -> None:
    sh("ip route add 10.6.0.0/16 via 10.1.0.8")
    before = snapshot.take()
    sh("ip route append 10.6.0.0/16 via 10.1.0.9")
    (difference,) = changed(before)
    assert "via 10.1.0.8" in difference.split(" and is now ")[0]
    assert "via 10.1.0.9" in difference.split(" and is now ")[1]
    sh("ip route del 10.6.0.0/16 via 10.1.0.8")
    assert len(changed(before)) == 1
    sh("ip route prepend 10.6.0.0/16 via 10.1.0.8")
    sh("ip route del 10.6.0.0/16 via 10.1.0.9")
    assert changed(before) == []


def test_a_link_that_is_gone_and_one_that_is_new_are_named() -> None:
    before = snapshot.take()
    sh("ip link del e0")
    sh("ip link add br0 type bridge")
    told = changed(before)
    assert any(sentence.startswith("e0 link is gone; it was: mac ") for sentence in told)
    assert any(sentence.startswith("br0 link is new: mac ") for sentence in told)


def test_only_the_links_that_were_asked_for_are_compared() -> None:
    before = snapshot.take()
    sh("ip link set e1 mtu 1400")
    assert snapshot.differences(before, snapshot.take(), of={"e0"}) == []
    assert len(snapshot.differences(before, snapshot.take(), of={"e1"})) == 1


def test_it_waits_until_all_is_as_before() -> None:
    before = snapshot.take()
    sh("ip link set e0 mtu 1400")
    back = subprocess.Popen(["sh", "-c", "sleep 0.3; ip link set e0 mtu 1500"])
    try:
        assert snapshot.differences_that_stay(before, of={"e0"}, seconds=10) == []
    finally:
        back.wait()
    sh("ip link set e0 mtu 1400")
    assert len(snapshot.differences_that_stay(before, of={"e0"}, seconds=0.1)) == 1
