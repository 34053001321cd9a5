"""A host whose IPv6 comes from a router's advertisements: its uplink goes into a bridge and out of it without a gap.

dnsmasq is the router; the host has no other IPv6 default route.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cabled_host import CabledHost, needs_root, wait_until

pytestmark = [pytest.mark.waits, pytest.mark.timeout(180)]

PREFIX, FAR = "2001:db8:5:", "2001:db8:ffff::1"
LIFETIME = 20  # seconds of the router; it speaks each few seconds, and when it is asked
ROUTER = [
    *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=0", "--user=root"),
    *("--interface=eth0", "--bind-interfaces", "--enable-ra", f"--ra-param=eth0,4,{LIFETIME}"),
    *(f"--dhcp-range={PREFIX}:,ra-only,64,10m", "--log-facility=-"),
]
KERNEL_S_OWN = "metric 1024"  # IP6_RT_PRIO_USER, which the kernel gives to a route of an advertisement


class Advertised(CabledHost):
    """Its LAN has a router, and a machine behind it that answers probes."""

    def __enter__(self) -> Advertised:
        super().__enter__()
        try:
            # A route that has run out is used no more, but shown until the kernel clears away: each 30 s by default.
            self.run(["sysctl", "-qw", "net.ipv6.route.gc_interval=1"])
            self.run(["ip", "-6", "route", "delete", "default"])
            # Who does not forward says in each NA that it is no router, and the kernel then takes the route away.
            self.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"], where=self.lan)
            self.run(["ip", "address", "add", f"{PREFIX}:1/64", "dev", "eth0", "nodad"], where=self.lan)
            self.run(["ip", "address", "add", f"{FAR}/128", "dev", "lo"], where=self.lan)
            self._answers = self.start([sys.executable, "-m", "tests.agent.packets", "echo"], where=self.lan)
            router = ["ip", "netns", "exec", self.lan, *ROUTER]
            self._router = subprocess.Popen(router, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(lambda: self.advertised("eth0") != "" and self.ways("eth0") != [], 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def advertised(self, link: str) -> str:
        """The proved address on the link that the router gave a part of; "" while there is none."""
        (shown,) = json.loads(self.run(["ip", "-j", "-6", "address", "show", "dev", link])) or [{}]
        found = [one for one in shown.get("addr_info", ()) if str(one["local"]).startswith(PREFIX)]
        return next((str(one["local"]) for one in found if not one.get("tentative")), "")

    def ways(self, link: str) -> list[str]:
        return self.run(["ip", "-6", "route", "show", "default", "dev", link, "proto", "ra"]).splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Advertised]:
    needs_root()
    with Advertised(tmp_path, seconds=30) as host:
        yield host


def test_address_and_way_out_are_kept_on_the_bridge_and_taken_anew_from_the_router(host: Advertised) -> None:
    address = host.advertised("eth0")
    inwards = host.start([sys.executable, "-m", "tests.agent.packets", "probe", address], where=host.lan)
    outwards = host.start([sys.executable, "-m", "tests.agent.packets", "probe", FAR])
    assert host.outcome("make") == "applied"
    assert host.advertised("br0") == address
    comes_from_the_router(host, "br0")
    assert host.outcome("remove") == "applied"
    assert host.advertised("eth0") == address
    comes_from_the_router(host, "eth0")
    for process in (inwards, outwards):
        process.terminate()
        told = json.loads(process.communicate(timeout=30)[0])
        print(f"{told['lost']} of {told['sent']} probes lost")
        assert told["lost"] == 0, told


def test_without_a_good_word_the_uplink_has_both_from_the_router_again(host: Advertised) -> None:
    address = host.advertised("eth0")
    assert host.outcome("make", "--verdict", "undo") == "undone"
    wait_until(lambda: host.advertised("eth0") == address, 10)
    comes_from_the_router(host, "eth0")


def comes_from_the_router(host: Advertised, link: str) -> None:
    """What was handed over has run out, and the kernel's own route stands alone. (A gap would cost probes.)"""
    wait_until(lambda: [KERNEL_S_OWN in way for way in host.ways(link)] == [True], LIFETIME + 25)
