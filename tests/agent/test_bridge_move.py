"""The host's own uplink goes into a bridge and out of it again, with probes each 5 ms: nothing is lost, nothing stays.

Row 2 of the reliability figures; the others are in test_guard.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cabled_host import CabledHost, needs_root, wait_until

SOAK = os.environ.get("KVMPANEL_SOAK") == "1"
OF_THE_KERNEL = 1024  # the metric of a router's route; what we hand over stands behind it

pytestmark = [pytest.mark.quiet, pytest.mark.timeout(3600 if SOAK else 300)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CabledHost]:
    needs_root()
    with CabledHost(tmp_path, seconds=30) as host:
        yield host


@pytest.mark.parametrize("rp_filter", ["0", "1"])
def test_in_and_out_again_loses_no_packet_and_leaves_no_trace(host: CabledHost, rp_filter: str) -> None:
    host.run(["sysctl", "-qw", *(f"net.ipv4.conf.{link}.rp_filter={rp_filter}" for link in ("all", "default", "eth0"))])
    before = host.snapshot()
    runs = 100 if SOAK else 5
    with host.probe() as probes:
        told = [one for _ in range(runs // 5) for one in host.change("loop", "--runs", "5")]
    assert [one["outcome"] for one in told] == ["applied"] * (2 * runs)
    print(f"{probes.lost} of {probes.sent} probes lost in {runs} moves in and {runs} out")
    assert probes.sent > 50 * runs
    assert probes.lost <= (1 if SOAK else 0), probes.told
    assert probes.sessions_held
    assert host.differences(before) == []
    assert host.run(["nft", "list", "tables"]) == ""


def test_the_bridge_has_all_that_the_uplink_had(host: CabledHost) -> None:
    shown = host.run(["ip", "route", "show", "table", "all", "dev", "eth0"]) + host.run(["ip", "-6", "route"])
    assert host.outcome("make") == "applied"
    now = host.run(["ip", "route", "show", "table", "all", "dev", "br0"]) + host.run(["ip", "-6", "route"])
    for line in shown.splitlines():
        if "local " not in line and "broadcast " not in line and "fe80::/64" not in line:
            assert line.replace("dev eth0", "dev br0") in now
    assert "10.9.0.77 lladdr 52:54:00:00:00:07 PERMANENT" in host.run(["ip", "neighbour", "show", "dev", "br0"])
    assert "from all fwmark 0x7 iif br0 lookup 77" in host.run(["ip", "rule"])
    assert "from all iif br0 lookup 77" in host.run(["ip", "-6", "rule"])
    assert host.run(["ip", "address", "show", "dev", "eth0"]).count("inet") == 0
    addresses = host.run(["ip", "address", "show", "dev", "br0"])
    assert addresses.count(" nodad") == 0
    for address in ("10.9.0.2/24 brd 10.9.0.255", "10.9.0.3/24", "10.8.0.2/24", "2001:db8::2/64", "2001:db8:0:7::2/64"):
        assert address in addresses


LEFT_HALFWAY = """
from kvmagent import bridges, detour, links, restore, snapshot
from kvmagent.guard import carry_out
from tests.agent.change import LAN
way_back = restore.plan(("eth0", "br0"), snapshot.take())
bridges.add("br0", bridges.settings_for(LAN, "eth0"))
links.set_state("br0", up=True)
assert carry_out(detour.open_("eth0", "br0")) == []
print("ready", flush=True)
input()
carry_out(way_back)
"""


def test_a_detour_that_a_killed_guard_has_left_is_no_harm_and_goes_with_the_rest(host: CabledHost) -> None:
    before = host.snapshot()
    inside = ["ip", "netns", "exec", host.name, sys.executable, "-c", LEFT_HALFWAY]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as left:
        assert left.stdout is not None
        assert left.stdout.readline().strip() == "ready"
        assert "kvmpanel_detour" in host.run(["nft", "list", "tables"])
        assert host.is_reached()
        left.communicate("\n")
    assert left.returncode == 0
    assert host.differences(before) == []
    assert host.run(["nft", "list", "tables"]) == ""


def test_the_bridge_looks_at_senders_as_strictly_as_the_uplink_did(host: CabledHost) -> None:
    host.run(["sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1"])
    assert host.outcome("make") == "applied"
    assert host.run(["sysctl", "-n", "net.ipv4.conf.br0.rp_filter"]).strip() == "1"


# What somebody has set for the uplink alone, each other than the kernel's default.
SET = {
    "ipv4": {"proxy_arp": "1", "arp_ignore": "1", "accept_redirects": "0", "ignore_routes_with_linkdown": "1"},
    "ipv6": {"use_tempaddr": "2", "accept_ra_defrtr": "0", "dad_transmits": "3", "proxy_ndp": "1"},
}
TOKEN = "::5:6:7:8"


def test_the_bridge_has_the_uplink_s_own_settings_and_the_uplink_has_them_again(host: CabledHost) -> None:
    for version, values in SET.items():
        for key, value in values.items():
            host.run(["sysctl", "-qw", f"net.{version}.conf.eth0.{key}={value}"])
    host.run(["ip", "token", "set", TOKEN, "dev", "eth0"])
    before = host.snapshot()
    assert before["eth0", "token"] == TOKEN
    assert host.outcome("make") == "applied"
    made = host.snapshot()
    assert made["br0", "token"] == TOKEN
    for version, values in SET.items():
        assert {key: made["br0", f"sysctl {version} {key}"] for key in values} == values
    assert host.outcome("remove") == "applied"
    assert host.differences(before) == []


@pytest.mark.parametrize("mode", ["2", "3"])
def test_a_bridge_hides_its_mac_address_from_routers_as_its_uplink_did(host: CabledHost, mode: str) -> None:
    switch = "stable_secret=2001:db8::5:6:7:8" if mode == "2" else "addr_gen_mode=3"
    host.run(["sysctl", "-qw", f"net.ipv6.conf.eth0.{switch}"])
    host.run(["ip", "link", "set", "eth0", "down"])  # its own address is made anew, and its IPv6 ones go
    host.run(["ip", "link", "set", "eth0", "up"])
    host.run(["ip", "-6", "address", "replace", "2001:db8::2/64", "dev", "eth0", "nodad"])
    wait_until(lambda: "tentative" not in host.run(["ip", "-6", "address"]))
    before = host.snapshot()
    assert host.outcome("make") == "applied"
    assert host.snapshot()["br0", "sysctl ipv6 addr_gen_mode"] == mode
    shown = host.run(["ip", "-6", "address", "show", "dev", "br0", "scope", "link"])
    assert shown.count("inet6 fe80::") == 1
    assert "ff:fe" not in shown
    assert host.outcome("remove") == "applied"
    assert host.differences(before) == []


def test_where_the_host_forwards_ipv6_the_bridge_still_listens_to_routers(host: CabledHost) -> None:
    host.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    assert host.outcome("make") == "applied"
    assert host.run(["cat", "/proc/sys/net/ipv6/conf/br0/accept_ra"]).strip() == "2"


def test_a_way_out_that_a_router_announced_is_heard_again_on_the_bridge_though_the_host_forwards_ipv6(
    host: CabledHost,
) -> None:
    host.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.eth0.accept_ra=2"])
    router = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--leasefile-ro", "--pid-file"]
    router += ["--interface=eth0", "--enable-ra", "--dhcp-range=2001:db8::,ra-only,64,5m", "--ra-param=eth0,4,60"]
    with subprocess.Popen(["ip", "netns", "exec", host.lan, *router]) as process:
        try:
            wait_until(lambda: announced(host) == ["eth0"])
            assert host.outcome("make") == "applied"
            wait_until(lambda: announced(host) == ["br0"])
            assert host.outcome("remove") == "applied"
            wait_until(lambda: announced(host) == ["eth0"])
        finally:
            process.terminate()


def announced(host: CabledHost) -> list[str]:
    """The links with a default route that the kernel has made of a router's own words."""
    lines = host.run(["ip", "-6", "route", "show", "default", "proto", "ra"]).splitlines()
    return [line.split("dev ")[1].split()[0] for line in lines if f"metric {OF_THE_KERNEL} " in line]


def test_the_bridge_has_the_uplink_s_mtu_and_refuses_none_of_its_packets(host: CabledHost) -> None:
    host.run(["ip", "link", "set", "eth0", "mtu", "1400"])
    host.run(["ip", "link", "set", "eth0", "mtu", "1400"], where=host.lan)
    assert host.outcome("make") == "applied"
    assert " mtu 1400 " in host.run(["ip", "link", "show", "dev", "br0"])
    assert "0% packet loss" in host.run(["ping", "-c1", "-W2", "-Mdo", "-s1372", "10.9.0.2"], where=host.lan)
