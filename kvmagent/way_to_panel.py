"""Over which link this host reaches the panel: the kernel's own answer for the address of its Redis."""

from __future__ import annotations

import logging
import socket
import time
from urllib.parse import urlsplit

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kvmagent import settings

RESOLVED_SECONDS = 300.0  # a name is asked for this seldom: the facts are read often, and a DNS server may be slow

log = logging.getLogger(__name__)
_resolved: dict[str, tuple[float, str | None]] = {}


def way_to_panel() -> str | None:
    """The link's name; None on a host that is not enrolled, or that has no way there now."""
    try:
        redis = urlsplit(settings.load().redis_url)
    except settings.NotEnrolled:
        return None
    address = _address(redis.hostname) if redis.hostname else None
    return None if address is None else link_to(address)


def link_to(address: str) -> str | None:
    """`ip route get ADDRESS`: the link that the kernel would send it over; None when it has no route."""
    with IPRoute() as netlink:
        try:
            (route,) = netlink.route("get", dst=address, family=_family(address))
            return socket.if_indextoname(route.get_attr("RTA_OIF"))
        except (NetlinkError, OSError):  # OSError: the link is gone again
            return None


def _address(host: str) -> str | None:
    now = time.monotonic()
    at, address = _resolved.get(host, (-RESOLVED_SECONDS, None))
    if now - at >= RESOLVED_SECONDS:
        try:
            address = str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
        except OSError as error:
            log.warning("the address of the panel's Redis, %s, is not known: %s", host, error)
            address = None
        _resolved[host] = (now, address)
    return address


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
