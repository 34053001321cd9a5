"""What a link carries, as `ip` prints it: what it prints it takes again, so nothing is lost on the way through us."""

from __future__ import annotations

import json
import re
import subprocess
from ipaddress import IPv6Address
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from virtnet.moves import Address, Carried, on_link_first
from virtnet.text import Text, text

FOREVER = 0xFFFFFFFF
FLAGS = ("home", "mngtmpaddr", "nodad", "noprefixroute", "autojoin")  # of an address, those that may be given
NEIGHBOUR_FLAGS = ("router", "extern_learn")
NO_OWN_ADDRESS = "1"  # addr_gen_mode: what link-local address there is, somebody else has given, e.g. NetworkManager
# What the kernel says of a route's state, and what only a kernel can say of it.
TOLD = {"linkdown", "dead", "offload", "trap", "rt_offload", "rt_trap", "pervasive", "rt_offload_failed"}
OWN_RULES = {"0", "32766", "32767"}  # the kernel's own: tables local, main and default
KNOWN = {"REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"}  # states of a neighbour whose MAC is known


def read(link: str) -> Carried:
    """All that hangs on the link but its own link-local address. Raises CalledProcessError."""
    return Carried(
        link=link,
        addresses=tuple(_addresses(link)),
        routes=on_link_first([*_routes("-4", link), *_routes("-6", link)]),
        ahead=tuple(_ahead(link)),
        rules=(*_rules(4, link), *_rules(6, link)),
        neighbours=tuple(_neighbours(link)),
    )


def why_not(carried: Carried) -> Text | None:
    """A route that could not be put back as it was, because `ip` does not take what it prints of it."""
    for route in carried.routes:
        if odd := {"nhid", "encap", "nh_info"} & set(route.split()):
            return text(
                "The route %(route)s has %(what)s, which the agent cannot move. Move it by hand.",
                route=route,
                what=", ".join(sorted(odd)),
            )
    return None


def renewed(route: str) -> bool:
    """Whether the kernel makes it again from the next word of a router."""
    return " proto ra " in f" {route} "


def _addresses(link: str) -> list[Address]:
    (shown,) = json.loads(ip("-j", "-d", "address", "show", "dev", link))
    found: list[dict[str, Any]] = shown["addr_info"]
    ipv4 = [_address(one) for one in found if one["family"] == "inet"]
    # The kernel puts the newest IPv6 address first, so the last one is given first.
    ipv6 = [
        _address(one) for one in reversed(found) if one["family"] == "inet6" and not _own(one, shown["address"], link)
    ]
    return ipv4 + ipv6


def _own(address: dict[str, Any], mac: str, link: str) -> bool:
    """The link-local address that the kernel gives to each link by itself, from its MAC or from a secret.

    Who else gives the one of the MAC address (NetworkManager may) gives what a bridge of that address has already.
    """
    if address["scope"] != "link":
        return False
    mode = Path(f"/proc/sys/net/ipv6/conf/{link}/addr_gen_mode").read_text().strip()
    return mode not in {"0", NO_OWN_ADDRESS} or IPv6Address(address["local"]) == _from_mac(mac)


def given_link_local(link: str) -> list[Address]:
    """The link-local address of its MAC, where the kernel gives none and somebody else has: with the link itself it
    stays, and nobody gives it again at once. Raises CalledProcessError."""
    (shown,) = json.loads(ip("-j", "-d", "address", "show", "dev", link))
    found = [one for one in shown["addr_info"] if one["family"] == "inet6" and one["scope"] == "link"]
    mode = Path(f"/proc/sys/net/ipv6/conf/{link}/addr_gen_mode")
    if not found or mode.read_text().strip() != NO_OWN_ADDRESS:
        return []
    return [_address(one) for one in found if _own(one, shown["address"], link)]


def _from_mac(mac: str) -> IPv6Address:
    """fe80:: and the modified EUI-64 of RFC 4291."""
    six = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(bytes.fromhex("fe80000000000000") + bytes([six[0] ^ 2]) + six[1:3] + b"\xff\xfe" + six[3:])


def _address(one: dict[str, Any]) -> Address:
    ipv6 = one["family"] == "inet6"
    words = [one["local"]]
    if "address" in one:
        words += ["peer", f"{one['address']}/{one['prefixlen']}"]
    else:
        words[0] += f"/{one['prefixlen']}"
    if "broadcast" in one:
        words += ["brd", one["broadcast"]]
    if one["scope"] != "global" and not ipv6:
        words += ["scope", one["scope"]]
    if one.get("label") and ":" in one["label"]:
        words += ["label", one["label"]]
    if "metric" in one:
        words += ["metric", str(one["metric"])]
    valid, preferred = one["valid_life_time"], one["preferred_life_time"]
    if (valid, preferred) != (FOREVER, FOREVER):
        words += ["valid_lft", _lifetime(valid), "preferred_lft", _lifetime(preferred)]
    words += [flag for flag in FLAGS if one.get(flag)]
    return Address(" ".join(words), ipv6, valid != FOREVER)


def _lifetime(seconds: int) -> str:
    return "forever" if seconds == FOREVER else str(seconds)


def _routes(version: Literal["-4", "-6"], link: str) -> list[str]:
    return [_given(words, version) for words in _shown_routes(version) if link in _values(words, "dev")]


def _ahead(link: str) -> list[str]:
    """The IPv4 routes over the link that come before one to the same place over another. IPv6 knows no such order."""
    shown = _shown_routes("-4")
    others = {_place(words): at for at, words in enumerate(shown) if link not in _values(words, "dev")}  # the last
    ours = [(at, words) for at, words in enumerate(shown) if link in _values(words, "dev")]
    return [_given(words, "-4") for at, words in ours if at < others.get(_place(words), -1)]


def _place(words: list[str]) -> tuple[str | None, ...]:
    """Of routes that agree in it the kernel takes the first."""
    about = _pairs(words)
    return (*words[:2], *(about.get(key) for key in ("table", "tos", "metric")))


def _shown_routes(version: Literal["-4", "-6"]) -> list[list[str]]:
    """In the kernel's order, each beginning with its type."""
    lines = ip(version, "-o", "-d", "route", "show", "table", "all").splitlines()
    shown = ([word for word in line.replace("\\", " ").split() if word not in TOLD] for line in lines)
    return [words for words in shown if _pairs(words).get("table") != "local" and not _linked_local(words)]


def _given(words: list[str], version: Literal["-4", "-6"]) -> str:
    """As the command takes it: "default" alone would be taken for IPv4, seconds have no unit, and rto_min is locked
    without being told."""
    everything = "0.0.0.0/0" if version == "-4" else "::/0"
    return " ".join(
        everything if word == "default" and at < 2 else re.sub(r"^(\d+)sec$", r"\1", word)
        for at, word in enumerate(words)
        if word != "lock" or words[at - 1] != "rto_min"
    )


def _linked_local(words: list[str]) -> bool:
    """The route that comes with each link's own link-local address: of the kernel's own metric."""
    about = _pairs(words)
    return "fe80::/64" in words[:2] and (about.get("proto"), about.get("metric")) == ("kernel", "256")


def _rules(version: Literal[4, 6], link: str) -> list[tuple[Literal[4, 6], str]]:
    found: list[tuple[Literal[4, 6], str]] = []
    for line in ip(f"-{version}", "rule", "show").splitlines():
        priority, _, rest = line.partition(":")
        if priority in OWN_RULES or link not in {*_values(rest.split(), "iif"), *_values(rest.split(), "oif")}:
            continue
        words = [word for word in rest.split() if word not in {"[detached]"}]
        found.append((version, f"priority {priority} {' '.join(words)}"))
    return found


def _neighbours(link: str) -> list[str]:
    found = []
    for one in json.loads(ip("-j", "neighbour", "show", "dev", link) or "[]"):
        if "lladdr" in one and KNOWN & set(one["state"]):
            state = "permanent" if "PERMANENT" in one["state"] else "stale"
            flags = "".join(f" {flag}" for flag in NEIGHBOUR_FLAGS if flag in one)
            found.append(f"{one['dst']} lladdr {one['lladdr']} nud {state}{flags}")
    for one in json.loads(ip("-j", "neighbour", "show", "proxy", "dev", link) or "[]"):
        found.append(f"proxy {one['dst']}")
    return found


def _pairs(words: list[str]) -> dict[str, str]:
    return dict(pairwise(words))


def _values(words: list[str], key: str) -> list[str]:
    return [value for word, value in pairwise(words) if word == key]


def ip(*arguments: str) -> str:
    """What `ip` prints. Raises CalledProcessError."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
