"""STP of a bridge: whether it is on, and the times that the bridge itself was given.

Netlink tells the times that are in force, which are the root bridge's; what this bridge was given only the ioctl of
brctl tells (struct __bridge_info of linux/if_bridge.h).
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

from pyroute2 import IPRoute

from kvmagent.carried import ip

SIOCDEVPRIVATE = 0x89F0
BRCTL_GET_BRIDGE_INFO = 6
IFNAMSIZ = 16
USER_HZ = 100
BR_STATE_FORWARDING = "3"
CARRYING = {"UP", "UNKNOWN"}


class _BridgeInfo(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("designated_root", "bridge_id")),
        *((name, ctypes.c_uint32) for name in ("root_path_cost", "max_age", "hello_time", "forward_delay")),
        *((name, ctypes.c_uint32) for name in ("bridge_max_age", "bridge_hello_time", "bridge_forward_delay")),
        *((name, ctypes.c_uint8) for name in ("topology_change", "topology_change_detected", "root_port")),
        ("stp_enabled", ctypes.c_uint8),
        *((name, ctypes.c_uint32) for name in ("ageing_time", "gc_interval", "hello_timer", "tcn_timer")),
        *((name, ctypes.c_uint32) for name in ("topology_change_timer", "gc_timer")),
    )


def read(bridge: str) -> tuple[bool, float]:
    """(whether it speaks STP, its own forward delay in seconds). Raises OSError: no such link, or no bridge."""
    info = _info(bridge)
    return bool(info.stp_enabled), info.bridge_forward_delay / USER_HZ


def timers(bridge: str) -> dict[str, int]:
    """hello_time and max_age that the bridge itself was given, as `ip` takes them: in hundredths of a second. Raises
    OSError."""
    info = _info(bridge)
    if info.designated_root == info.bridge_id or not info.forward_delay:
        return {"hello_time": info.hello_time, "max_age": info.max_age}
    # These the kernel tells in its own ticks, and so the forward delay in force, which netlink tells too.
    with IPRoute() as netlink:
        (message,) = netlink.get_links(socket.if_nametoindex(bridge))
    in_force = int(message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BR_FORWARD_DELAY"))
    own = {"hello_time": info.bridge_hello_time, "max_age": info.bridge_max_age}
    return {name: round(ticks * in_force / info.forward_delay) for name, ticks in own.items()}


def set_stp(bridge: str, *, on: bool, forward_delay: float) -> None:
    """forward_delay: seconds. Ports that forward go on forwarding; once STP is off all others do so too, and not only
    when the timers end that STP has left. Raises OSError, NetlinkError, CalledProcessError."""
    delay = round(forward_delay * USER_HZ)
    with IPRoute() as netlink:
        about = {"index": socket.if_nametoindex(bridge), "kind": "bridge"}
        if on:
            netlink.link("set", **about, br_forward_delay=delay, br_stp_state=1)
        else:
            # With STP on the kernel takes no delay below 2 s.
            netlink.link("set", **about, br_stp_state=0)
            netlink.link("set", **about, br_forward_delay=delay)
            for port in list(netlink.get_links(master=about["index"])):
                if port.get_attr("IFLA_OPERSTATE") in CARRYING:  # the kernel takes it of no other
                    name = str(port.get_attr("IFLA_IFNAME"))
                    claim(name)
                    ip("link", "set", "dev", name, "type", "bridge_slave", "state", BR_STATE_FORWARDING)


def set_priority(port: str, priority: int) -> None:
    """Of a port in its bridge; of two that lead to one place the lower forwards. Raises OSError, NetlinkError."""
    with IPRoute() as netlink:
        netlink.link("set", index=socket.if_nametoindex(port), kind="bridge_slave", priority=priority)


def claim(port: str) -> None:
    """The port forgets what it has heard of a better one of its own bridge, which may have left: else it would be
    blocked until that is too old, 20 s. Raises OSError, NetlinkError."""
    with IPRoute() as netlink:
        (message,) = netlink.get_links(socket.if_nametoindex(port))
    data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA")
    for priority in (0, int(data.get_attr("IFLA_BRPORT_PRIORITY"))):
        set_priority(port, priority)


def _info(bridge: str) -> _BridgeInfo:
    info = _BridgeInfo()
    arguments = (ctypes.c_ulong * 4)(BRCTL_GET_BRIDGE_INFO, ctypes.addressof(info), 0, 0)
    request = struct.pack(f"{IFNAMSIZ}sQ16x", bridge.encode(), ctypes.addressof(arguments))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
        fcntl.ioctl(kernel, SIOCDEVPRIVATE, request)
    return info
