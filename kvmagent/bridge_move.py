"""The move of what a link carries into a bridge over it, and back: the guard's steps, and the look afterwards.

See virtnet/moves.py for the order.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from kvmagent import bridge_stp, carried, detour, links, restore
from kvmagent.bridge_mark import Found, Mark
from kvmagent.guard import Step, Wait, Write
from kvmagent.snapshot import Snapshot
from virtnet import moves
from virtnet.moves import Carried
from virtnet.text import Text, text

STRICT, LOOSE = "1", "2"  # rp_filter
FROM_A_SECRET, FROM_A_DRAWN_SECRET = "2", "3"  # addr_gen_mode


def into_bridge(what: Carried, bridge: str, before: Snapshot, *, alone: bool = True) -> list[Step]:
    """Its uplink becomes a port without IPv6 addresses of its own. before: knows how the uplink is set. alone: no
    second uplink joins later."""
    # The kernel lets a bridge send only some time after its first port has joined, on a busy host tens of milliseconds
    # later, and drops until then what the routes would send by it.
    speaks = Wait(do="wait", path=f"/sys/class/net/{bridge}/operstate", value="up")
    # With STP the detour's own port would listen first, and let nothing in. And it takes the first port number, which
    # decides which of two uplinks forwards.
    takes_detour = alone and not bridge_stp.read(bridge)[0]
    loose, strict = _rp_filter(what.link, bridge, before)
    token = before.get((what.link, "token"))
    rules = moves.rules_of(what, bridge)
    return [
        *_sysctls_like(what.link, bridge, before),
        *restore.batch([f"token set {token} dev {bridge}"] if token is not None else []),
        *loose,
        *_joined(what, bridge, takes_detour=takes_detour),
        speaks,
        *restore.batch([*moves.hand_over(what, bridge), *rules[4]]),
        *restore.batch(rules[6], "-6"),
        restore.sysctl("ipv6", what.link, "disable_ipv6", "1"),
        *strict,
        *(detour.close() + detour.remove() if takes_detour else []),
    ]


def _joined(what: Carried, bridge: str, *, takes_detour: bool) -> list[Step]:
    prepare, join = moves.prepare(what, bridge), moves.join_bridge(what.link, bridge)
    if not takes_detour:
        return restore.batch([*prepare, join])
    return [*restore.batch(prepare), *detour.open_(what.link, bridge), *restore.batch([join])]


def out_of_bridge(what: Carried, mark: Mark, before: Snapshot) -> list[Step]:
    """The bridge is gone afterwards. before: the snapshot that knows how IPv6 addresses are made on the uplink."""
    bridge, uplink, second = what.link, mark.uplinks[0].name, mark.second
    mode = before.get((uplink, "sysctl ipv6 addr_gen_mode"), "0")
    loose, _ = _rp_filter(uplink, bridge, before)
    rules = moves.rules_of(what, uplink)
    mtu = links.mtu(bridge)
    return [
        *restore.batch(moves.raised(mark.mtus, mtu)),
        # No link-local address while it is still a port: the kernel would ask for a router there, and not hear it.
        restore.sysctl("ipv6", uplink, "addr_gen_mode", "1"),
        restore.sysctl("ipv6", uplink, "disable_ipv6", "0"),
        *restore.batch(moves.leave_second(bridge, second.name) if second is not None else []),
        *loose,
        *detour.open_(uplink, bridge),
        *restore.batch(moves.leave_bridge(what, uplink)),
        *detour.close(),
        *restore.batch([*moves.give_up_bridge(what, uplink), *rules[4]]),
        *detour.remove(),
        *restore.batch(rules[6], "-6"),
        restore.sysctl("ipv6", uplink, "addr_gen_mode", mode),
        *restore.batch(moves.lowered(mark.mtus, mtu)),
        *(_as_found(second) if second else []),
    ]


def _as_found(second: Found) -> list[Step]:
    steps = [] if second.was_up else restore.batch([f"link set dev {second.name} down"])
    return [*steps, *([restore.sysctl("ipv6", second.name, "disable_ipv6", "0")] if second.had_ipv6 else [])]


def why_not_moved(what: Carried, target: str) -> Text | None:
    """Read back: what has not come to the target."""
    now = carried.read(target)
    missing = [one.words for one in what.addresses if not one.dynamic and one.on(target) not in now.addresses]
    routes = [moves.renamed(route, what.link, target) for route in what.routes if not carried.renewed(route)]
    there = {_timeless(route) for route in now.routes}
    missing += [route for route in routes if _timeless(route) not in there]
    if not missing:
        return None
    return text("%(link)s did not take over %(what)s.", link=target, what=", ".join(missing))


def _timeless(route: str) -> str:
    """Without the seconds until it ends, which go on meanwhile."""
    return re.sub(r" expires \d+", "", route)


def _sysctls_like(uplink: str, bridge: str, before: Snapshot) -> list[Step]:
    """The bridge treats packets as the uplink did. Where the host forwards IPv6, the kernel listens to routers on it
    only when told so twice (accept_ra=2): else the host's own way out would run out."""
    found: list[Step] = _stable_privacy(uplink, bridge, before)
    for (link, thing), value in before.items():
        if link != uplink or not thing.startswith("sysctl ") or thing == "sysctl ipv6 addr_gen_mode":
            continue
        _, version, key = thing.split()
        if key == "accept_ra" and value != "0" and before.get((uplink, "sysctl ipv6 forwarding")) == "1":
            value = "2"
        # A link is made as the default says.
        if value != before.get((bridge, thing), before.get(("default", thing))):
            found.append(restore.sysctl(version, bridge, key, value))
    return found


def _stable_privacy(uplink: str, bridge: str, before: Snapshot) -> list[Step]:
    """A link-local address that does not tell the MAC address, and others by a router's word; not the same ones, since
    each link makes its own."""
    mode = before.get((uplink, "sysctl ipv6 addr_gen_mode"))
    if mode not in {FROM_A_SECRET, FROM_A_DRAWN_SECRET}:
        return []
    found = [restore.sysctl("ipv6", bridge, "addr_gen_mode", mode)]
    if mode == FROM_A_SECRET:
        with suppress(OSError):  # it has none of its own, but that of all
            secret = Path(f"/proc/sys/net/ipv6/conf/{uplink}/stable_secret").read_text().strip()
            found.insert(0, restore.sysctl("ipv6", bridge, "stable_secret", secret))
    return [*found]


def _rp_filter(uplink: str, bridge: str, before: Snapshot) -> tuple[list[Write], list[Write]]:
    """For the time of the move, and after it: a strict bridge would drop what comes in by it while the routes still say
    the uplink. The kernel takes the larger of the link's value and of that for all."""
    value, of_all = (before.get((name, "sysctl ipv4 rp_filter"), "0") for name in (uplink, "all"))
    if STRICT not in {value, of_all}:
        return [], []
    return [restore.sysctl("ipv4", bridge, "rp_filter", LOOSE)], [restore.sysctl("ipv4", bridge, "rp_filter", value)]
