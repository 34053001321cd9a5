"""The lab's cables: veth pairs, bridges, addresses, by netlink inside the namespaces.

Both ends of a pair are made in their namespaces at once: nothing shows up in the machine's own, not for a moment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from socket import AF_INET

from pyroute2 import IPRoute

from lab.namespaces import path


@contextmanager
def route(namespace: str) -> Iterator[IPRoute]:
    """An rtnetlink socket in the namespace."""
    with IPRoute(netns=namespace, flags=0) as connection:
        yield connection


def add_bridge(namespace: str, name: str) -> None:
    """A bridge that forwards at once (no spanning tree: nothing here can loop)."""
    with route(namespace) as connection:
        connection.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0)
        connection.link("set", index=_index(connection, name), state="up")


def add_cable(port: tuple[str, str], end: tuple[str, str], *, master: str | None = None) -> None:
    """A veth pair, each end (namespace, link name), both up; the first may become a port of the bridge `master`."""
    descriptor = os.open(path(end[0]), os.O_RDONLY)
    try:
        with route(port[0]) as connection:
            peer = {"ifname": end[1], "net_ns_fd": descriptor}
            connection.link("add", ifname=port[1], kind="veth", peer=peer)
            index = _index(connection, port[1])
            if master is not None:
                connection.link("set", index=index, master=_index(connection, master))
            connection.link("set", index=index, state="up")
    finally:
        os.close(descriptor)
    set_state(end[0], end[1], "up")


def add_tap(namespace: str, name: str, *, master: str) -> None:
    """A tap that stays when its program ends, up, as a port of the bridge `master`."""
    with route(namespace) as connection:
        connection.link("add", ifname=name, kind="tuntap", mode="tap")
        index = _index(connection, name)
        connection.link("set", index=index, master=_index(connection, master))
        connection.link("set", index=index, state="up")


def add_macvlan(link: tuple[str, str], end: tuple[str, str], *, mode: str) -> None:
    """A macvlan over a link, each (namespace, link name), up; what a guest's macvtap is to the link.

    mode: libvirt's word: bridge, vepa, private or passthrough.
    """
    descriptor = os.open(path(end[0]), os.O_RDONLY)
    try:
        with route(link[0]) as connection:
            connection.link(
                "add",
                ifname=end[1],
                kind="macvlan",
                link=_index(connection, link[1]),
                macvlan_mode=mode.replace("passthrough", "passthru"),
                net_ns_fd=descriptor,
            )
    finally:
        os.close(descriptor)
    set_state(end[0], end[1], "up")


def set_hairpin(namespace: str, port: str, on: bool) -> None:
    """Whether a bridge sends frames back out of the port that they came in by, as a VEPA's switch does."""
    with route(namespace) as connection:
        connection.brport("set", index=_index(connection, port), mode=int(on))


def add_address(namespace: str, link: str, address: IPv4Interface) -> None:
    with route(namespace) as connection:
        index = _index(connection, link)
        connection.addr(
            "add",
            index=index,
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            broadcast=str(address.network.broadcast_address),
        )


def add_default_route(namespace: str, gateway: IPv4Address) -> None:
    with route(namespace) as connection:
        connection.route("add", dst="default", gateway=str(gateway))


def set_state(namespace: str, link: str, state: str) -> None:
    """state: "up" or "down"."""
    with route(namespace) as connection:
        connection.link("set", index=_index(connection, link), state=state)


def is_up(namespace: str, link: str) -> bool:
    """Whether somebody has set it up (IFF_UP)."""
    with route(namespace) as connection:
        return bool(connection.link("get", ifname=link)[0]["flags"] & 1)


def delete(namespace: str, link: str) -> None:
    """`ip link delete`; nothing happens where there is no such link. Of a veth pair, both ends go."""
    with route(namespace) as connection:
        for index in connection.link_lookup(ifname=link):
            connection.link("del", index=index)


def mac_address(namespace: str, link: str) -> str:
    with route(namespace) as connection:
        return str(connection.link("get", ifname=link)[0].get_attr("IFLA_ADDRESS"))


def set_mac_address(namespace: str, link: str, mac: str) -> None:
    with route(namespace) as connection:
        connection.link("set", index=_index(connection, link), address=mac)


def addresses(namespace: str, link: str) -> list[IPv4Interface]:
    with route(namespace) as connection:
        found = connection.get_addr(family=AF_INET, index=_index(connection, link))
        return [IPv4Interface((address.get_attr("IFA_ADDRESS"), address["prefixlen"])) for address in found]


def _index(connection: IPRoute, name: str) -> int:
    return int(connection.link_lookup(ifname=name)[0])
