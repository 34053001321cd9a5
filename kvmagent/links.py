"""The kernel's links, addresses, routes and neighbours, by netlink (pyroute2's IPRoute) and sysfs."""

from __future__ import annotations

import re
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import rt_proto, rt_scope

from kvmagent import bridge_stp, sriov
from kvmagent.bridge_mark import Mark
from kvmagent.persist import bridge as lasting
from virtnet.link_facts import AnyAddress, AnyInterface, Link, Route, Rule

LOCAL_TABLE = 255
RTM_F_CLONED = 0x200
OWN_RULES = {0, 32766, 32767}  # priorities of the kernel's own rules: tables local, main and default
FOREVER = 0xFFFFFFFF
MOST_ROUTES = 2000
IFF_UP = 1
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Of a tap or a bridge the kernel tells a speed too, but it means nothing.
WITH_SPEED = {"", "bond", "team", "vlan"}
# FAILED and INCOMPLETE neighbours are questions without an answer.
NUD_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # REACHABLE, STALE, DELAY, PROBE, PERMANENT


class NoSuchLink(Exception):
    """This host has no link of that name."""


def read_links() -> tuple[Link, ...]:
    """All links of this network namespace, in the order of their indexes; without their VFs (see vfs.with_vfs)."""
    with IPRoute() as netlink:
        messages = sorted(netlink.get_links(), key=lambda message: int(message["index"]))
        addresses, dynamic = _addresses(netlink)
    names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in messages}
    return tuple(_link(message, names, addresses[message["index"]], dynamic) for message in messages)


def read_routes(found_links: Iterable[Link]) -> tuple[Route, ...]:
    """The routes over these links, IPv4 first; a route of many paths is one Route for each.

    At most MOST_ROUTES: a router's full table would make a report that is too large to be taken.
    """
    names = {link.index: link.name for link in found_links}
    with IPRoute() as netlink:
        messages = list(netlink.get_routes(family=socket.AF_INET))
        messages += list(netlink.get_routes(family=socket.AF_INET6))
    wanted = [one for one in messages if _table(one) != LOCAL_TABLE and not one["flags"] & RTM_F_CLONED]
    routes = [route for message in wanted for route in _routes(message, names)]
    routes.sort(key=lambda one: (one.dst.version, one.dst.network_address.packed, one.dst.prefixlen, str(one)))
    return tuple(routes[:MOST_ROUTES])


def read_rules() -> tuple[Rule, ...]:
    """The policy rules that somebody added, IPv4 first, in their order."""
    with IPRoute() as netlink:
        messages = [*netlink.get_rules(family=socket.AF_INET), *netlink.get_rules(family=socket.AF_INET6)]
    rules = [_rule(message) for message in messages if message.get_attr("FRA_PRIORITY", 0) not in OWN_RULES]
    return tuple(sorted(rules, key=lambda rule: (rule.version, rule.priority)))


def read_neighbours() -> dict[str, list[AnyAddress]]:
    """MAC address -> the IP addresses that the host has seen it answer for; link-local ones left out."""
    found: dict[str, set[AnyAddress]] = defaultdict(set)
    with IPRoute() as netlink:
        for message in netlink.get_neighbours():
            mac, address = message.get_attr("NDA_LLADDR"), message.get_attr("NDA_DST")
            if mac and address and message["state"] & NUD_KNOWN:
                found[mac.lower()].add(ip_address(address))
    return {
        mac: sorted((one for one in ips if not one.is_link_local), key=lambda one: (one.version, one.packed))
        for mac, ips in found.items()
    }


def is_up(link: str) -> bool:
    """IFF_UP. Raises NoSuchLink."""
    with IPRoute() as netlink:
        return bool(find(netlink, link)["flags"] & IFF_UP)


def by_permanent_mac() -> dict[str, str]:
    """Permanent MAC address, in lower case -> the name of the one link that has it."""
    with IPRoute() as netlink:
        found = [(link.get_attr("IFLA_PERM_ADDRESS"), link.get_attr("IFLA_IFNAME")) for link in netlink.get_links()]
    macs = [mac for mac, _ in found]
    return {mac.lower(): str(name) for mac, name in found if mac and macs.count(mac) == 1}


def kind(link: str) -> str | None:
    """IFLA_INFO_KIND, "" for a physical card, None when there is no such link."""
    with IPRoute() as netlink:
        try:
            return _kind(find(netlink, link))
        except NoSuchLink:
            return None


def master(link: str) -> str | None:
    """The link that this one is a port of. Raises NoSuchLink."""
    with IPRoute() as netlink:
        index = find(netlink, link).get_attr("IFLA_MASTER")
        if index is None:
            return None
        (message,) = netlink.get_links(index)
        return str(message.get_attr("IFLA_IFNAME"))


def mac(link: str) -> str:
    """IFLA_ADDRESS, "" for a link without one. Raises NoSuchLink."""
    with IPRoute() as netlink:
        return (find(netlink, link).get_attr("IFLA_ADDRESS") or "").lower()


def mtu(link: str) -> int:
    """Bytes. Raises NoSuchLink."""
    with IPRoute() as netlink:
        return int(find(netlink, link).get_attr("IFLA_MTU"))


def set_state(link: str, *, up: bool) -> None:
    """ip link set LINK up|down. Raises NoSuchLink, NetlinkError."""
    with IPRoute() as netlink:
        netlink.link("set", index=find(netlink, link)["index"], state="up" if up else "down")


def set_mtu(link: str, mtu: int) -> None:
    """ip link set LINK mtu MTU. Raises NoSuchLink, NetlinkError."""
    with IPRoute() as netlink:
        netlink.link("set", index=find(netlink, link)["index"], mtu=mtu)


def ip_forward() -> str:
    """net.ipv4.ip_forward, "0" or "1"."""
    return IP_FORWARD.read_text().strip()


def set_ip_forward(value: str) -> None:
    IP_FORWARD.write_text(value)


def pci_address(link: str) -> str | None:
    """Of a card on PCI; of a virtio card, the PCI device that carries it."""
    try:
        parts = (sriov.SYS_CLASS_NET / link / "device").resolve(strict=True).parts
    except OSError:
        return None
    addresses = [part for part in parts if re.fullmatch(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", part)]
    return addresses[-1] if addresses else None


def find(netlink: IPRoute, link: str) -> Any:
    """The netlink message of a link. Raises NoSuchLink."""
    try:
        found = list(netlink.link("get", ifname=link))
    except NetlinkError as error:
        if error.code in (19, 22, 34):  # ENODEV; EINVAL, ERANGE: no name that a link can have
            raise NoSuchLink(link) from error
        raise
    if not found:
        raise NoSuchLink(link)
    return found[0]


def _kind(message: Any) -> str:
    return message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or ""


def _link(
    message: Any, names: Mapping[int, str], addresses: list[AnyInterface], dynamic: Mapping[int, set[AnyInterface]]
) -> Link:
    name, kind_of_link = message.get_attr("IFLA_IFNAME"), _kind(message)
    limited = dynamic.get(message["index"], set())
    mark = Mark.read(message.get_attr("IFLA_IFALIAS")) or lasting.mark_of(name) if kind_of_link == "bridge" else None
    stp, delay = _stp(name, kind_of_link)
    sysfs = sriov.SYS_CLASS_NET / name
    # What stands on no device of the host, a bridge or a guest's tap, is not asked for what only devices have.
    is_device = (sysfs / "device").exists()
    return Link(
        name=name,
        index=message["index"],
        kind=kind_of_link,
        master=names.get(message.get_attr("IFLA_MASTER")),
        # An index of another network namespace says nothing here.
        parent=names.get(message.get_attr("IFLA_LINK")) if message.get_attr("IFLA_LINK_NETNSID") is None else None,
        mac=(message.get_attr("IFLA_ADDRESS") or "").lower(),
        mtu=message.get_attr("IFLA_MTU") or 0,
        max_mtu=message.get_attr("IFLA_MAX_MTU") or None,
        up=bool(message["flags"] & IFF_UP),
        operstate=message.get_attr("IFLA_OPERSTATE") or "",
        addresses=tuple(addresses),
        dynamic=tuple(address for address in addresses if address in limited),
        speed=_speed(name) if kind_of_link in WITH_SPEED else None,
        driver=sriov.linked(sysfs / "device" / "driver") if is_device else None,
        pci_address=pci_address(name) if is_device else None,
        wireless=(sysfs / "wireless").exists() or (sysfs / "phy80211").exists(),
        made_for=mark.network if mark else None,
        made_with=mark.uplink if mark else None,
        made_with_second=mark.second.name if mark and mark.second else None,
        made_with_down=tuple(uplink.name for uplink in mark.uplinks if not uplink.was_up) if mark else (),
        made_with_mtus=tuple(mark.mtus.items()) if mark else (),
        stp=stp,
        forward_delay=delay,
        vlan_filtering=bool(message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BR_VLAN_FILTERING")),
        pf=sriov.pf_of(name) if is_device else None,
        totalvfs=sriov.totalvfs(name) if is_device else None,
        numvfs=sriov.numvfs(name) if is_device else None,
        numa_node=sriov.numa_node(name) if is_device else None,
    )


def _stp(name: str, kind_of_link: str) -> tuple[bool | None, float | None]:
    if kind_of_link != "bridge":
        return None, None
    try:
        return bridge_stp.read(name)
    except OSError:  # it is gone again
        return None, None


def _addresses(netlink: IPRoute) -> tuple[dict[int, list[AnyInterface]], dict[int, set[AnyInterface]]]:
    """Index of a link -> its addresses, and those of them that end by themselves."""
    found: dict[int, list[AnyInterface]] = defaultdict(list)
    dynamic: dict[int, set[AnyInterface]] = defaultdict(set)
    for message in netlink.get_addr():
        # On a point-to-point link IFA_ADDRESS is the other end's, IFA_LOCAL ours; IPv6 has only IFA_ADDRESS.
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        interface = ip_interface(f"{address}/{message['prefixlen']}")
        found[message["index"]].append(interface)
        if (message.get_attr("IFA_CACHEINFO") or {}).get("ifa_valid", FOREVER) != FOREVER:
            dynamic[message["index"]].add(interface)
    for addresses in found.values():
        addresses.sort(key=lambda one: (one.version, one.packed, one.network.prefixlen))
    return found, dynamic


def _routes(message: Any, names: Mapping[int, str]) -> list[Route]:
    everything = IPv4Address(0) if message["family"] == socket.AF_INET else IPv6Address(0)
    dst = ip_network(f"{message.get_attr('RTA_DST') or everything}/{message['dst_len']}")
    prefsrc = message.get_attr("RTA_PREFSRC")
    about = {
        "dst": dst,
        "metric": message.get_attr("RTA_PRIORITY"),
        "table": _table(message),
        "proto": rt_proto.get(message["proto"], str(message["proto"])),
        "scope": {"universe": "global"}.get(name := rt_scope.get(message["scope"], str(message["scope"])), name),
        "prefsrc": ip_address(prefsrc) if prefsrc else None,
    }
    hops = [(hop.get_attr("RTA_GATEWAY"), hop["oif"]) for hop in message.get_attr("RTA_MULTIPATH") or ()]
    return [
        Route(gateway=ip_address(gateway) if gateway else None, dev=names.get(oif), **about)
        for gateway, oif in hops or [(message.get_attr("RTA_GATEWAY"), message.get_attr("RTA_OIF"))]
    ]


def _table(message: Any) -> int:
    return int(message.get_attr("RTA_TABLE") or message["table"])


def _rule(message: Any) -> Rule:
    """As `ip rule` writes it, as far as the selectors that people use."""
    iif, oif = message.get_attr("FRA_IIFNAME"), message.get_attr("FRA_OIFNAME")
    source, target, mark = (message.get_attr(name) for name in ("FRA_SRC", "FRA_DST", "FRA_FWMARK"))
    words = ["from", f"{source}/{message['src_len']}" if source else "all"]
    words += ["to", f"{target}/{message['dst_len']}"] if target else []
    words += ["fwmark", hex(mark)] if mark else []
    words += ["iif", iif] if iif else []
    words += ["oif", oif] if oif else []
    return Rule(
        version=4 if message["family"] == socket.AF_INET else 6,
        priority=message.get_attr("FRA_PRIORITY", 0),
        selector=" ".join(words),
        table=message.get_attr("FRA_TABLE") or message["table"],
        iif=iif,
        oif=oif,
    )


def _speed(link: str) -> int | None:
    """Mbit/s; the kernel answers EINVAL for a link that is down, and -1 where it does not know."""
    try:
        speed = int((sriov.SYS_CLASS_NET / link / "speed").read_text())
    except (OSError, ValueError):
        return None
    return speed if speed > 0 else None
