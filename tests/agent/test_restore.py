"""What a link may carry of its host beside the usual, and an undo brings back: each is asked of the kernel afterwards.

The usual is what each cabled host has, see cabled_host.py; test_guard.py has the rest of the undo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cabled_host import CabledHost, needs_root

pytestmark = pytest.mark.timeout(120)

OF_ALL_KINDS = """
ip -6 address add 2001:db8::44/64 dev eth0 nodad
ip -6 address add 2001:db8::98/128 dev eth0 valid_lft 900 preferred_lft 600 nodad
ip address add 10.55.0.1 peer 10.55.0.2/32 dev eth0
ip -6 neighbour add 2001:db8::88 lladdr 52:54:00:00:00:08 dev eth0 nud permanent router
ip route add 10.91.0.0/16 via 10.9.0.1 dev eth0 rto_min 5ms initcwnd 20 advmss 1300
ip route add multicast 239.0.0.0/8 dev eth0
ip route add 10.90.0.0/16 via inet6 fe80::1 dev eth0
ip route add 10.92.0.0/16 tos 0x10 via 10.9.0.1 dev eth0
ip route add blackhole 10.80.0.0/16
ip route add 10.83.0.0/16 dev spare0 src 10.9.0.2
ip -6 route add 2001:db8:90::/48 from 2001:db8::/64 via 2001:db8::1 dev eth0 pref high
ip -6 route add 2001:db8:72::/48 nexthop via 2001:db8::1 dev eth0 nexthop via 2001:db8::9 dev eth0 weight 3
ip rule add not from 10.9.0.3 to 10.1.0.0/16 fwmark 7/0xff iif eth0 dport 80 lookup 77 suppress_prefixlength 0
ip rule add iif eth0 oif spare0 lookup 77 suppress_prefixlength 0
ip rule add iif eth0 tos 0x10 uidrange 0-100 priority 200 goto 32766
ip -6 rule add iif eth0 from 2001:db8:3::/64 priority 300 prohibit
"""
# systemd-networkd and NetworkManager hear routers themselves: the kernel does not ask again for what they have put on
# the link. NetworkManager gives the link-local address too.
OF_ITS_OWNER = """
sysctl -qw net.ipv6.conf.eth0.accept_ra=0
sysctl -qw net.ipv6.conf.eth0.addr_gen_mode=1
ip -6 address flush dev eth0 scope link
ip -6 address add fe80::1234:5678:9abc:def0/64 dev eth0 noprefixroute nodad
ip -6 route add fe80::/64 dev eth0 proto kernel metric 1024
ip -6 address add 2001:db8::99/64 dev eth0 valid_lft 900 preferred_lft 600 noprefixroute nodad
ip -6 route add default via fe80::1 dev eth0 proto ra metric 1024 expires 900
"""


# NetworkManager may give the link-local address of the MAC address too, with a route of its own.
BY_THE_MAC = """
sysctl -qw net.ipv6.conf.eth0.accept_ra=0
sysctl -qw net.ipv6.conf.eth0.addr_gen_mode=1
ip link set dev eth0 address 02:00:00:00:00:05
ip -6 address flush dev eth0 scope link
ip -6 address add fe80::ff:fe00:5/64 dev eth0 nodad
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CabledHost]:
    needs_root()
    with CabledHost(tmp_path, seconds=60) as host:
        yield host


@pytest.mark.parametrize("what", ["make", "remove"])
@pytest.mark.parametrize(
    "has", [OF_ALL_KINDS, OF_ITS_OWNER, BY_THE_MAC], ids=["of all kinds", "of its owner", "by the MAC"]
)
def test_an_undo_brings_it_back(host: CabledHost, has: str, what: str) -> None:
    for command in has.strip().splitlines():
        host.run(command.split())
    if what == "remove":
        assert host.outcome("make") == "applied"
    before = host.snapshot()
    assert host.outcome(what, "--verdict", "undo") == "undone"
    assert host.differences(before) == []
    assert host.is_reached()


TUNED = """
ip link set br0 type bridge ageing_time 12300 mcast_snooping 0 priority 4096 group_fwd_mask 0x4000
ip link set br0 type bridge hello_time 100 max_age 1200
ip link set br0 type bridge mcast_querier 1 mcast_query_interval 6000 mcast_igmp_version 3
ip link set eth0 type bridge_slave priority 7 cost 77 hairpin on mcast_flood off
"""


def test_an_undone_removal_brings_back_what_the_bridge_and_its_port_were_set_to(host: CabledHost) -> None:
    assert host.outcome("make") == "applied"
    for command in TUNED.strip().splitlines():
        host.run(command.split())
    before = host.snapshot()
    assert "priority 4096 group_fwd_mask 16384 mcast_snooping 0" in before["br0", "bridge"]
    assert "priority 7 cost 77 hairpin 1" in before["eth0", "port"]
    assert host.outcome("remove", "--verdict", "undo") == "undone"
    assert host.differences(before) == []
    assert host.run(["cat", "/sys/class/net/br0/bridge/ageing_time"]).strip() == "12300"
    assert host.is_reached()


# Two links in one subnet: of their routes the kernel takes the first. That of spare0 leads nowhere.
@pytest.mark.parametrize("what", ["make", "remove"])
@pytest.mark.parametrize("verdict", ["keep", "undo"])
def test_of_routes_to_one_place_over_two_links_the_first_stays_the_first(
    host: CabledHost, what: str, verdict: str
) -> None:
    for command in ("ip address add 10.9.0.50/24 dev spare0", "ip route append default via 10.9.0.60 metric 50"):
        host.run(command.split())
    if what == "remove":
        assert host.outcome("make") == "applied"
    former = _ways(host)
    assert host.outcome(what, "--verdict", verdict) == ("applied" if verdict == "keep" else "undone")
    assert _ways(host) == former
    assert host.is_reached()


def _ways(host: CabledHost) -> list[str]:
    """The routes to 10.9.0.0/24 and to everywhere, in their order, each to its link; a bridge stands for its port."""
    lines = host.run(["ip", "-4", "route"]).replace("dev br0", "dev eth0").splitlines()
    wanted = [line for line in lines if line.startswith(("10.9.0.0/24", "default"))]
    return [line.split(" proto")[0].split(" linkdown")[0] for line in wanted]
