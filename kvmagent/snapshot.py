"""The host's network as it is at one moment, written so that two moments can be compared.

Left out is what changes by itself: indexes, counters, seconds of lifetimes, whether an address is still being proved,
and the routes that the kernel derives from addresses (table local).
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from kvmagent import bridge_settings, bridge_stp
from virtnet.text import Text, text

# (link, thing on it) -> how it is, e.g. ("eth0", "address 10.0.0.5/24") -> "scope global lifetime forever". The link
# is "" for what belongs to none.
Snapshot = Mapping[tuple[str, str], str]

# https://docs.kernel.org/networking/ip-sysctl.html
SYSCTLS = {
    "ipv4": (
        *("forwarding", "rp_filter", "arp_accept", "arp_announce", "arp_filter", "arp_ignore", "arp_notify"),
        *("proxy_arp", "proxy_arp_pvlan", "accept_local", "accept_redirects", "accept_source_route"),
        *("secure_redirects", "send_redirects", "drop_gratuitous_arp", "drop_unicast_in_l2_multicast"),
        *("ignore_routes_with_linkdown", "log_martians", "promote_secondaries", "route_localnet", "src_valid_mark"),
    ),
    "ipv6": (
        *("disable_ipv6", "forwarding", "accept_ra", "addr_gen_mode", "autoconf", "use_tempaddr"),
        *("accept_ra_defrtr", "accept_ra_from_local", "accept_ra_min_hop_limit", "accept_ra_mtu", "accept_ra_pinfo"),
        *("accept_ra_rt_info_max_plen", "accept_ra_rt_info_min_plen", "accept_ra_rtr_pref", "accept_redirects"),
        *("accept_dad", "accept_source_route", "dad_transmits", "drop_unicast_in_l2_multicast", "drop_unsolicited_na"),
        *("ignore_routes_with_linkdown", "keep_addr_on_down", "max_addresses", "ndisc_notify", "proxy_ndp"),
        *("router_solicitations", "temp_prefered_lft", "temp_valid_lft", "use_oif_addrs_only"),
    ),
}
PROC = Path("/proc/sys/net")
# linux/if.h: UP, NOARP, PROMISC, ALLMULTI, MULTICAST; the others (RUNNING, LOWER_UP) tell of the cable.
FLAGS = {"up": 0x1, "noarp": 0x80, "promisc": 0x100, "allmulti": 0x200, "multicast": 0x1000}
BEING_PROVED = 0x04 | 0x40  # IFA_F_OPTIMISTIC, IFA_F_TENTATIVE
FOREVER = 0xFFFFFFFF
RTM_F_CLONED = 0x200
LOCAL_TABLE, PROTO_KERNEL, NUD_PERMANENT = 255, 2, 0x80


def take() -> Snapshot:
    """Of this network namespace. Some milliseconds."""
    found: dict[tuple[str, str], str] = {}
    with IPRoute() as netlink:
        messages = list(netlink.get_links())
        names = {message["index"]: str(message.get_attr("IFLA_IFNAME")) for message in messages}
        for message in messages:
            name = str(message.get_attr("IFLA_IFNAME"))
            found[name, "link"] = _link(message, names)
            found |= {(name, what): how for what, how in bridge_settings.words(message).items()}
            if (token := _token(message)) is not None:
                found[name, "token"] = token
            if message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge":
                found[name, "stp"] = _stp(name)
        for message in netlink.get_addr():
            found[names.get(message["index"], ""), _address_key(message)] = _address(message)
        for family in (socket.AF_INET, socket.AF_INET6):
            order: dict[str, list[str]] = defaultdict(list)
            for message in netlink.get_routes(family=family):
                for key, how in _route(message, names).items():
                    order[key[1]].append(key[0])
                    found[key] = f"{found[key]} | {how}" if key in found else how  # `ip route append`, in its order
            if family == socket.AF_INET:  # of several to one place the kernel takes the first
                found |= {("", f"order of {key}"): " ".join(over) for key, over in order.items() if len(set(over)) > 1}
            for message in netlink.get_rules(family=family):
                found["", f"rule {family.name} {_attributes(message)}"] = ""
            for message in netlink.get_neighbours(family=family):
                if message["state"] & NUD_PERMANENT:
                    key = names.get(message["ifindex"], ""), f"neighbour {message.get_attr('NDA_DST')}"
                    found[key] = str(message.get_attr("NDA_LLADDR"))
    for name in ("all", "default", *names.values()):
        found.update(sysctls(name))
    return found


def differences(before: Snapshot, after: Snapshot, *, of: Collection[str] | None = None) -> list[Text]:
    """What is not as before, each in a sentence; of: only what is on these links."""
    found = []
    for link, thing in sorted(before.keys() | after.keys()):
        if of is not None and link not in of:
            continue
        was, now = before.get((link, thing)), after.get((link, thing))
        what = f"{link} {thing}".strip()
        if was is not None and now is None:
            found.append(text("%(what)s is gone; it was: %(was)s.", what=what, was=was))
        elif was is None and now is not None:
            found.append(text("%(what)s is new: %(now)s.", what=what, now=now))
        elif was != now:
            found.append(text("%(what)s was %(was)s and is now %(now)s.", what=what, was=was, now=now))
    return found


def differences_that_stay(before: Snapshot, *, of: Collection[str], seconds: float) -> list[Text]:
    """What is not as before, looked at until all is, but no longer than so many seconds."""
    deadline = time.monotonic() + seconds
    while (found := differences(before, take(), of=of)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def lost(before: Snapshot, *, of: Collection[str], seconds: float) -> list[Text]:
    """Addresses and routes that are not there any more, however they are marked now; looked at until all are back, but
    no longer than so many seconds. The route of a link-local address has the metric that its owner likes."""
    held = [
        key
        for key in before
        if key[0] in of and key[1].startswith(("address ", "route ")) and not key[1].startswith("route fe80::/64 ")
    ]

    def missing() -> list[Text]:
        now = take().keys()
        kept = [key for key in held if key not in now]
        return [text("%(what)s is gone; it was: %(was)s.", what=f"{key[0]} {key[1]}", was=before[key]) for key in kept]

    deadline = time.monotonic() + seconds
    while (found := missing()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def sysctls(link: str) -> dict[tuple[str, str], str]:
    """The settings of one link, as a snapshot holds them."""
    found = {}
    for family, keys in SYSCTLS.items():
        for key in keys:
            try:
                found[link, f"sysctl {family} {key}"] = (PROC / family / "conf" / link / key).read_text().strip()
            except OSError:  # no IPv6 in this kernel, or the link went away meanwhile
                continue
    return found


def _link(message: Any, names: Mapping[int, str]) -> str:
    flags = [name for name, bit in FLAGS.items() if message["flags"] & bit]
    # A link that was never up has the queue "noop", and another after it went down again: it queues nothing either way.
    queue = message.get_attr("IFLA_QDISC") if "up" in flags else "-"
    return (
        f"mac {message.get_attr('IFLA_ADDRESS')} mtu {message.get_attr('IFLA_MTU')} "
        f"master {names.get(message.get_attr('IFLA_MASTER'))} flags {','.join(flags)} qdisc {queue} "
        f"txqlen {message.get_attr('IFLA_TXQLEN')} group {message.get_attr('IFLA_GROUP')} "
        f"alias {message.get_attr('IFLA_IFALIAS')}"
    )


def _token(message: Any) -> str | None:
    """The lower half of the addresses that the kernel makes of a router's word; None where nobody has set one."""
    found = message.get_nested("IFLA_AF_SPEC", "AF_INET6", "IFLA_INET6_TOKEN")
    return str(found) if found and found != "::" else None


def _stp(bridge: str) -> str:
    try:
        (on, forward_delay), times = bridge_stp.read(bridge), bridge_stp.timers(bridge)
    except OSError:  # it is gone again
        return ""
    about = {"forward_delay": forward_delay} | {name: time / bridge_stp.USER_HZ for name, time in times.items()}
    return " ".join(["on" if on else "off", *(f"{name} {seconds:g}" for name, seconds in about.items())])


def _address_key(message: Any) -> str:
    address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return f"address {address}/{message['prefixlen']}"


def _address(message: Any) -> str:
    flags = (message.get_attr("IFA_FLAGS") or message["flags"]) & ~BEING_PROVED
    lifetimes = message.get_attr("IFA_CACHEINFO") or {}
    valid, preferred = (
        "forever" if lifetimes.get(key, FOREVER) == FOREVER else "limited" for key in ("ifa_valid", "ifa_preferred")
    )
    return (
        f"scope {message['scope']} flags {flags:#x} valid {valid} preferred {preferred} "
        f"peer {message.get_attr('IFA_ADDRESS')} broadcast {message.get_attr('IFA_BROADCAST')} "
        f"label {message.get_attr('IFA_LABEL')} metric {message.get_attr('IFA_RT_PRIORITY')} "
        f"proto {message.get_attr('IFA_PROTO')}"
    )


def _route(message: Any, names: Mapping[int, str]) -> dict[tuple[str, str], str]:
    table = message.get_attr("RTA_TABLE") or message["table"]
    derived = table == LOCAL_TABLE and message["proto"] == PROTO_KERNEL
    if derived or message["flags"] & RTM_F_CLONED:
        return {}
    hops = [
        f"via {hop.get_attr('RTA_GATEWAY')} dev {names.get(hop['oif'])} weight {hop['hops'] + 1}"
        for hop in message.get_attr("RTA_MULTIPATH") or ()
    ]
    key = (
        f"route {message.get_attr('RTA_DST') or 'default'}/{message['dst_len']} table {table} "
        f"metric {message.get_attr('RTA_PRIORITY')} tos {message['tos']} type {message['type']}"
    )
    metrics = message.get_attr("RTA_METRICS")
    about = (
        f"via {message.get_attr('RTA_GATEWAY') or message.get_attr('RTA_VIA')} proto {message['proto']} "
        f"scope {message['scope']} prefsrc {message.get_attr('RTA_PREFSRC')} "
        f"pref {message.get_attr('RTA_PREF')} metrics {_attributes(metrics) if metrics else '-'} {' '.join(hops)}"
    )
    return {(names.get(message.get_attr("RTA_OIF"), ""), key): about.strip()}


def _attributes(message: Any) -> str:
    """All that a message says, in one order."""
    fields = {name: value for name, value in message.items() if isinstance(value, int) and name != "length"}
    return " ".join(f"{name}={value}" for name, value in sorted([*fields.items(), *message["attrs"]], key=str))
