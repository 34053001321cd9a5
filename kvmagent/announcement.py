"""Gratuitous ARP: who has learned another MAC address for this host's learns the right one.

While two cables of a host lead into one LAN and both are up, the kernel answers a question for the host's address by
each of them, so a neighbour may know the host by the second cable's MAC. Once that is a port of a bridge, what comes to
its MAC is dropped; the neighbour would ask anew only after up to a minute. Who asks by IPv6 is answered on one link.
"""

from __future__ import annotations

import logging
import socket
import struct
from ipaddress import IPv4Address

from pyroute2 import IPRoute

log = logging.getLogger(__name__)

ETH_P_ARP, ETH_P_IP = 0x0806, 0x0800
ETHERNET, REQUEST = 1, 1
ALL, NOBODY = b"\xff" * 6, b"\0" * 6


def announce(link: str) -> None:
    """All IPv4 addresses of a link, on the link. One that cannot be sent holds nothing up: neighbours ask anew before
    long. Raises NetlinkError, OSError: no such link."""
    index = socket.if_nametoindex(link)
    with IPRoute() as netlink:
        (message,) = netlink.get_links(index)
        found = [IPv4Address(one.get_attr("IFA_LOCAL")) for one in netlink.get_addr(socket.AF_INET, index=index)]
    mac = bytes.fromhex(message.get_attr("IFLA_ADDRESS").replace(":", ""))
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as kernel:
            kernel.bind((link, 0))
            for address in found:
                kernel.send(_frame(mac, address))
    except OSError as error:
        log.warning("%s could not be announced: %s", link, error)


def _frame(mac: bytes, address: IPv4Address) -> bytes:
    """RFC 5227: a question for the address by itself, to all."""
    what = struct.pack("!HHBBH", ETHERNET, ETH_P_IP, len(mac), 4, REQUEST)
    return ALL + mac + struct.pack("!H", ETH_P_ARP) + what + mac + address.packed + NOBODY + address.packed
