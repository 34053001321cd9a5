"""Bridges of the host by netlink: made with all their settings at once, marked as ours, and taken away again.

A bridge without a mark was made by others: it is used, and never changed nor taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from kvmagent import bridge_settings, bridge_stp, links
from kvmagent.bridge_mark import Found, Mark
from kvmagent.persist import bridge as lasting
from virtnet import moves
from virtnet.bridge_mtu import TAP
from virtnet.refs import NetworkRef

IPV6 = Path("/proc/sys/net/ipv6/conf")
# A bridge has this name until it bears its mark: a bridge of ours without one is never seen, even after a kill.
UNMARKED = "kvmpanel-new"


@dataclass(frozen=True)
class Settings:
    """What a bridge is made with. forward_delay: seconds. mac, mtu: None leaves them to the kernel. tuned: lines of
    `ip -batch`, once its ports are in."""

    mark: Mark
    mac: str | None = None
    mtu: int | None = None
    stp: bool = False
    forward_delay: float = 0
    tuned: tuple[str, ...] = ()


def settings_for(network: NetworkRef, *uplinks: str) -> Settings:
    """For a bridge that guests and the LAN see as the first uplink itself. Raises NoSuchLink."""
    with IPRoute() as netlink:
        messages = [links.find(netlink, uplink) for uplink in uplinks]
    mark = Mark(network.uuid, tuple(_found(message) for message in messages))
    if not messages:
        return Settings(mark)
    # A MAC that was set is kept; else the kernel takes the lowest port's, and changes it when a tap joins.
    return Settings(mark, messages[0].get_attr("IFLA_ADDRESS"), messages[0].get_attr("IFLA_MTU"))


def settings(bridge: str, mark: Mark) -> Settings:
    """Those of a bridge that is there, to make it again. Raises NoSuchLink, CalledProcessError."""
    with IPRoute() as netlink:
        found = links.find(netlink, bridge)
    tuned = [line for name in (bridge, *mark.names) for line in bridge_settings.lines(bridge_settings.shown(name))]
    tuned += moves.own_mtus({name: links.mtu(name) for name in mark.names})
    return Settings(
        mark, found.get_attr("IFLA_ADDRESS"), found.get_attr("IFLA_MTU"), *bridge_stp.read(bridge), tuple(tuned)
    )


def mark(bridge: str) -> Mark | None:
    """Ours, None on a bridge of others. Raises NoSuchLink."""
    with IPRoute() as netlink:
        alias = links.find(netlink, bridge).get_attr("IFLA_IFALIAS")
    return Mark.read(alias) or lasting.mark_of(bridge)  # one that the host made at its start has no alias


def set_mark(bridge: str, mark: Mark | None) -> None:
    """None: as one that the host made at its start. Raises NoSuchLink, NetlinkError."""
    with IPRoute() as netlink:
        alias = mark.alias() if mark is not None else ""
        netlink.link("set", index=links.find(netlink, bridge)["index"], ifalias=alias)


def is_marked(bridge: str) -> bool:
    """Whether the bridge itself bears the mark, not only what is kept of it. Raises NoSuchLink."""
    with IPRoute() as netlink:
        return Mark.read(links.find(netlink, bridge).get_attr("IFLA_IFALIAS")) is not None


def found(link: str) -> Found:
    """As it is before it becomes a port. Raises NoSuchLink."""
    with IPRoute() as netlink:
        return _found(links.find(netlink, link))


def ports(bridge: str) -> list[str]:
    """Raises NoSuchLink."""
    with IPRoute() as netlink:
        index = links.find(netlink, bridge)["index"]
        return [port.get_attr("IFLA_IFNAME") for port in netlink.get_links(master=index)]


def taps(bridge: str) -> list[str]:
    """Those of its ports that are guests'. Raises NoSuchLink."""
    with IPRoute() as netlink:
        found = netlink.get_links(master=links.find(netlink, bridge)["index"])
        return [
            str(port.get_attr("IFLA_IFNAME"))
            for port in found
            if port.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == TAP
        ]


def add(bridge: str, wanted: Settings) -> None:
    """A bridge that is down, without STP: its first port forwards at once. Raises NetlinkError."""
    about: dict[str, Any] = {"br_stp_state": 0, "br_forward_delay": 0}
    about |= {"address": wanted.mac} if wanted.mac else {}
    about |= {"mtu": wanted.mtu} if wanted.mtu else {}
    with IPRoute() as netlink:
        for left_over in netlink.link_lookup(ifname=UNMARKED):
            netlink.link("del", index=left_over)
        netlink.link("add", ifname=UNMARKED, kind="bridge", **about)
        index = links.find(netlink, UNMARKED)["index"]
        # The kernel takes no alias in the message that makes a link.
        netlink.link("set", index=index, ifalias=wanted.mark.alias())
        netlink.link("set", index=index, ifname=bridge)


def delete(bridge: str) -> None:
    """Its ports become free. Raises NoSuchLink, NetlinkError."""
    with IPRoute() as netlink:
        netlink.link("del", index=links.find(netlink, bridge)["index"])


def set_master(link: str, bridge: str | None) -> None:
    """ip link set LINK master BRIDGE, or nomaster. Raises NoSuchLink, NetlinkError."""
    with IPRoute() as netlink:
        index = 0 if bridge is None else links.find(netlink, bridge)["index"]
        netlink.link("set", index=links.find(netlink, link)["index"], master=index)


def has_ipv6(link: str) -> bool:
    """Whether the link may hold IPv6 addresses; False too where the kernel has no IPv6."""
    switch = IPV6 / link / "disable_ipv6"
    return switch.exists() and switch.read_text().strip() == "0"


def set_ipv6(link: str, *, on: bool) -> None:
    """Off takes the link's IPv6 addresses away, on lets the kernel give it a link-local one again. Raises OSError."""
    if has_ipv6(link) != on:
        (IPV6 / link / "disable_ipv6").write_text("0" if on else "1")


def _found(message: Any) -> Found:
    name = str(message.get_attr("IFLA_IFNAME"))
    return Found(name, bool(message["flags"] & links.IFF_UP), has_ipv6(name))
