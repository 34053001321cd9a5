"""On the host of a benchmark: `python -m benchmarks.bridge_netlink PAIRS` prints "OURS BARE DETOUR", ms of each pair.

DETOUR is ours once more, with the detour that the packets take meanwhile; the bare script has none, and loses some.
"""

from __future__ import annotations

import socket
import sys
import time
from uuid import UUID

from pyroute2 import IPRoute

from kvmagent import arming, bridge_move, bridges, carried, links, restore, snapshot
from kvmagent.arming import Armed
from kvmagent.guard import boot_clock, carry_out
from virtnet.refs import NetworkRef

LAN = NetworkRef(uuid=UUID("00000000-0000-4000-8000-00000000000a"), name="lan")
SCOPE_LINK, PROTO_KERNEL = 253, 2
NODAD = 0x02


def main(pairs: int) -> None:
    for number in range(pairs + 1):
        times = _ours(detour=False), _bare(), _ours(detour=True)
        if number:  # the first pair warms all up
            sys.stdout.write(" ".join(f"{1000 * time:.3f}" for time in times) + "\n")


def _ours(*, detour: bool) -> float:
    """The bridge made, and the move by the guard's hand. The guard stands already, as it does before the change."""
    before = snapshot.take()
    way_back = restore.plan(("eth0", "br0"), before)
    arming.arm(Armed("benchmark", "panel", boot_clock() + 60, ("eth0", "br0"), before, way_back))
    what = carried.read("eth0")
    begun = time.perf_counter()
    bridges.add("br0", bridges.settings_for(LAN, "eth0"))
    links.set_state("br0", up=True)
    arming.run(bridge_move.into_bridge(what, "br0", before, alone=detour))
    took = time.perf_counter() - begun
    arming.restore("it was measured")
    return took


def _bare() -> float:
    """The same with pyroute2 alone, all that is to be moved known beforehand."""
    before = snapshot.take()
    way_back = restore.plan(("eth0", "br0"), before)
    with IPRoute() as netlink:
        uplink = netlink.link_lookup(ifname="eth0")[0]
        addresses = [one for one in netlink.get_addr(index=uplink) if one["scope"] != SCOPE_LINK]
        routes = [
            one
            for one in (*netlink.get_routes(family=socket.AF_INET), *netlink.get_routes(family=socket.AF_INET6))
            if one.get_attr("RTA_OIF") == uplink and one.get_attr("RTA_TABLE") != 255
        ]
        begun = time.perf_counter()
        like = netlink.get_links(uplink)[0]
        about = {"address": like.get_attr("IFLA_ADDRESS"), "mtu": like.get_attr("IFLA_MTU")}
        netlink.link("add", ifname="br0", kind="bridge", br_stp_state=0, br_forward_delay=0, **about)
        bridge = netlink.link_lookup(ifname="br0")[0]
        netlink.link("set", index=bridge, state="up")
        for one in addresses:
            flags = NODAD if one["family"] == socket.AF_INET6 else 0
            address = one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS")
            netlink.addr("replace", index=bridge, address=address, prefixlen=one["prefixlen"], flags=flags)
        netlink.link("set", index=uplink, master=bridge)
        for one in routes:
            if one["proto"] == PROTO_KERNEL:
                continue  # the kernel has made it again with the address
            said = {"dst": one.get_attr("RTA_DST") or "default", "dst_len": one["dst_len"], "family": one["family"]}
            said |= {"gateway": one.get_attr("RTA_GATEWAY"), "priority": one.get_attr("RTA_PRIORITY")}
            said |= {"table": one.get_attr("RTA_TABLE"), "proto": one["proto"], "scope": one["scope"]}
            wanted = {name: value for name, value in said.items() if value is not None}
            netlink.route("replace", oif=bridge, **wanted)
        for one in reversed(addresses):  # the first of a subnet would take the others with it
            address = one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS")
            netlink.addr("delete", index=uplink, address=address, prefixlen=one["prefixlen"])
        took = time.perf_counter() - begun
    carry_out(way_back)
    return took


if __name__ == "__main__":
    main(int(sys.argv[1]))
