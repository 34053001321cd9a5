"""What a bridge and its ports are set to beside STP: lines for `ip -batch` that set it again, and words to compare.

Left out are VLANs, whose table is no setting.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kvmagent import bridge_stp
from kvmagent.carried import ip

SYS = Path("/sys/class/net")

# As `ip -j -d link` names it -> as `ip link set … type bridge` takes it, and as netlink names it (IFLA_BR_…).
OF_A_BRIDGE = {
    key: (key.replace("_cnt", "_count").replace("_intvl", "_interval"), key.upper())
    for key in (
        *("ageing_time", "priority", "group_fwd_mask", "mcast_snooping", "mcast_router", "mcast_querier"),
        *("mcast_query_use_ifaddr", "mcast_hash_max", "mcast_last_member_cnt", "mcast_startup_query_cnt"),
        *("mcast_last_member_intvl", "mcast_membership_intvl", "mcast_querier_intvl", "mcast_query_intvl"),
        *("mcast_query_response_intvl", "mcast_startup_query_intvl", "mcast_igmp_version", "mcast_mld_version"),
        *("nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables"),
    )
}
# What netlink tells of these is the root bridge's while STP is on.
TIMES = {"hello_time": ("hello_time", ""), "max_age": ("max_age", "")}
# The same of a port (… type bridge_slave, IFLA_BRPORT_…).
OF_A_PORT = {
    "priority": ("priority", "PRIORITY"),
    "cost": ("cost", "COST"),
    "hairpin": ("hairpin", "MODE"),
    "guard": ("guard", "GUARD"),
    "root_block": ("root_block", "PROTECT"),
    "fastleave": ("fastleave", "FAST_LEAVE"),
    "learning": ("learning", "LEARNING"),
    "flood": ("flood", "UNICAST_FLOOD"),
    "mcast_flood": ("mcast_flood", "MCAST_FLOOD"),
    "bcast_flood": ("bcast_flood", "BCAST_FLOOD"),
    "mcast_to_unicast": ("mcast_to_unicast", "MCAST_TO_UCAST"),
    "multicast_router": ("mcast_router", "MULTICAST_ROUTER"),
    "proxy_arp": ("proxy_arp", "PROXYARP"),
    "proxy_arp_wifi": ("proxy_arp_wifi", "PROXYARP_WIFI"),
    "group_fwd_mask": ("group_fwd_mask", "GROUP_FWD_MASK"),
    "neigh_suppress": ("neigh_suppress", "NEIGH_SUPPRESS"),
    "isolated": ("isolated", "ISOLATED"),
    "locked": ("locked", "LOCKED"),
}
# What STP shortens for a while after each change of its tree, and what the kernel then tells in its place.
SHORTENED = "ageing_time"
# What the kernel gives a port by its speed, as long as nobody has set another cost; the last to one of 10 Mbit/s, or of
# a speed that is not known. NetworkManager sets that one for every port.
OF_THE_SPEED = {1, 2, 3, 4, 5, 19, 100}
SLOWEST, SLOW = 100, 10


def shown(link: str) -> dict[str, Any]:
    """As `ip -j -d link` shows it, a bridge with its own times in the place of the root's. Raises CalledProcessError,
    OSError."""
    (found,) = json.loads(ip("-j", "-d", "link", "show", "dev", link))
    link_shown: dict[str, Any] = found
    about = link_shown.get("linkinfo", {})
    if about.get("info_kind") == "bridge":
        about["info_data"] |= bridge_stp.timers(link)
    return link_shown


def lines(of: dict[str, Any]) -> list[str]:
    """of: a link as it was shown. A line for each setting: what one kernel refuses does not stop the others."""
    name, about = of["ifname"], of.get("linkinfo", {})
    found = []
    if about.get("info_kind") == "bridge":
        data = about.get("info_data", {})
        if data.get("topology_change"):
            data = {key: value for key, value in data.items() if key != SHORTENED}
        found += _lines(f"link set dev {name} type bridge", OF_A_BRIDGE | TIMES, data)
    if about.get("info_slave_kind") == "bridge":
        data = about.get("info_slave_data", {})
        if data.get("cost") in OF_THE_SPEED and not (data["cost"] == SLOWEST and _speed(name) > SLOW):
            data = {key: value for key, value in data.items() if key != "cost"}
        found += _lines(f"link set dev {name} type bridge_slave", OF_A_PORT, data)
    return found


def words(message: Any) -> dict[str, str]:
    """message: of netlink. "bridge" and "port" -> what there is of it that never changes by itself, for a snapshot."""
    about = message.get_attr("IFLA_LINKINFO")
    if about is None:
        return {}
    kinds = (
        ("bridge", "IFLA_INFO_KIND", "IFLA_INFO_DATA", "IFLA_BR_", OF_A_BRIDGE),
        ("port", "IFLA_INFO_SLAVE_KIND", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_", OF_A_PORT),
    )
    return {
        what: " ".join(f"{word} {data.get_attr(prefix + name)}" for word, name in names.values() if word != SHORTENED)
        for what, kind, where, prefix, names in kinds
        if about.get_attr(kind) == "bridge" and (data := about.get_attr(where)) is not None
    }


def _speed(link: str) -> int:
    """Mbit/s; 0 where it has none, or is down."""
    try:
        return int((SYS / link / "speed").read_text())
    except OSError:
        return 0


def _lines(command: str, names: dict[str, tuple[str, str]], data: dict[str, Any]) -> list[str]:
    return [f"{command} {word} {_word(data[key])}" for key, (word, _) in names.items() if key in data]


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
