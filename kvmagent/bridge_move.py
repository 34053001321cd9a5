"""The move of what a link carries into a bridge over it, and back: the guard's steps, and the look afterwards.

See virtnet/moves.py for the order.
"""

from __future__ import annotations

from kvmagent import carried, restore, snapshot
from kvmagent.bridge_mark import Found, Mark
from kvmagent.guard import Step, Wait
from kvmagent.snapshot import Snapshot
from virtnet import moves
from virtnet.moves import Carried
from virtnet.text import Text, text


def into_bridge(what: Carried, bridge: str) -> list[Step]:
    """Its uplink becomes a port without IPv6 addresses of its own."""
    # The kernel lets a bridge send only some time after its first port has joined, on a busy host tens of milliseconds
    # later, and drops until then what the routes would send by it.
    speaks = Wait(do="wait", path=f"/sys/class/net/{bridge}/operstate", value="up")
    return [
        *_sysctls_like(what.link, bridge),
        *restore.batch(moves.join_bridge(what, bridge)),
        speaks,
        *restore.batch(moves.hand_over(what, bridge)),
        *_rules(what, bridge),
        restore.sysctl("ipv6", what.link, "disable_ipv6", "1"),
    ]


def out_of_bridge(what: Carried, mark: Mark, before: Snapshot) -> list[Step]:
    """The bridge is gone afterwards. before: the snapshot that knows how IPv6 addresses are made on the uplink."""
    uplink, second = mark.uplinks[0].name, mark.second
    mode = before.get((uplink, "sysctl ipv6 addr_gen_mode"), "0")
    # No link-local address while it is still a port: the kernel would ask for a router there, and not hear it.
    waits: list[Step] = [
        restore.sysctl("ipv6", uplink, "addr_gen_mode", "1"),
        restore.sysctl("ipv6", uplink, "disable_ipv6", "0"),
    ]
    lines = moves.out_of_bridge(what, uplink, second=second.name if second is not None else None)
    steps = [*waits, *restore.batch(lines), *_rules(what, uplink)]
    return [*steps, restore.sysctl("ipv6", uplink, "addr_gen_mode", mode), *(_as_found(second) if second else [])]


def _as_found(second: Found) -> list[Step]:
    steps = [] if second.was_up else restore.batch([f"link set dev {second.name} down"])
    return [*steps, *([restore.sysctl("ipv6", second.name, "disable_ipv6", "0")] if second.had_ipv6 else [])]


def why_not_moved(what: Carried, target: str) -> Text | None:
    """Read back: what has not come to the target."""
    now = carried.read(target)
    missing = [one.words for one in what.addresses if not one.dynamic and one.on(target) not in now.addresses]
    routes = [moves.renamed(route, what.link, target) for route in what.routes if not carried.renewed(route)]
    missing += [route for route in routes if route not in now.routes]
    if not missing:
        return None
    return text("%(link)s did not take over %(what)s.", link=target, what=", ".join(missing))


def _sysctls_like(uplink: str, bridge: str) -> list[Step]:
    """The bridge treats packets as the uplink did. Where the host forwards IPv6, the kernel listens to routers on it
    only when told so twice (accept_ra=2): else the host's own way out would run out."""
    found: list[Step] = []
    now = snapshot.sysctls(uplink)
    for (_, thing), value in now.items():
        _, version, key = thing.split()
        if key == "accept_ra" and value != "0" and now[uplink, "sysctl ipv6 forwarding"] == "1":
            value = "2"
        if key != "addr_gen_mode":
            found.append(restore.sysctl(version, bridge, key, value))
    return found


def _rules(what: Carried, target: str) -> list[Step]:
    found = moves.rules_of(what, target).items()
    return [step for version, lines in found for step in restore.batch(lines, f"-{version}")]
