"""The way back of links to what they are now, worked out before the first change: steps for the guard.

They are right from any point in between, also when nothing was changed yet: whatever is so already is refused by the
kernel, or stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvmagent import bridge_settings, bridge_stp, carried, detour, links, snapshot
from kvmagent.guard import Batch, Step, Write
from kvmagent.snapshot import Snapshot
from virtnet import moves
from virtnet.moves import Carried

NO_ALIAS = '""'
LAST = ("disable_ipv6", "addr_gen_mode")  # they decide whether the kernel gives a link-local address, and when


def plan(names: Iterable[str], before: Snapshot) -> list[Step]:
    """For these links; those that are not there now go. Raises CalledProcessError, OSError."""
    wanted = list(dict.fromkeys(names))
    there = [name for name in wanted if links.kind(name) is not None]
    what = {name: carried.read(name) for name in there}
    shown = {name: bridge_settings.shown(name) for name in there}
    hear = {name for name in there if _hears_routers(name, before)}
    # Then what is no port, so that a second cable has left before STP goes.
    bridges_first = sorted(there, key=lambda name: (links.kind(name) != "bridge", "master" in shown[name]))
    steps: list[Step] = [*detour.close(), *detour.remove()]
    again = [line for name in bridges_first if links.kind(name) == "bridge" for line in _bridge_again(shown[name])]
    steps += batch(again)
    steps += batch([f"token set {how} dev {name}" for name in there if (how := before.get((name, "token")))])
    # No link-local address while the link is still a port: the kernel would ask for a router there, and not hear it.
    # One that was down has none, and a new mode would give it one all the same.
    steps += [step for name in there if "UP" in shown[name]["flags"] for step in _ipv6_waits(name, before)]
    local = {name: carried.given_link_local(name) for name in there}
    lines = [line for name in bridges_first for line in _put_on(what[name], name in hear)]
    lines += [address.put_on(name) for name in there for address in local[name]]
    lines += _as_links([shown[name] for name in bridges_first])
    lines += [line for name in there for line in _with_own_mtu(what[name], name in hear)]
    lines += [
        line for name in there for other in there if other != name for line in _take_from(what[name], what[other])
    ]
    lines += [f"link delete dev {name}" for name in wanted if name not in there]
    lasting = {name: [*_lasting(what[name], name in hear), *local[name]] for name in there}
    lines += [line for name in there for address in lasting[name] for line in address.as_it_was(name)]
    steps += batch(lines)
    for name in there:
        for other in wanted:
            steps += _rules(what[name], other) if other != name else []
    return steps + [step for name in there for step in _sysctls(name, before, up="UP" in shown[name]["flags"])]


def batch(lines: list[str], *options: str) -> list[Step]:
    return [Batch(do="ip", options=list(options), lines=lines)] if lines else []


def sysctl(version: str, link: str, key: str, value: str) -> Write:
    return Write(do="write", path=f"/proc/sys/net/{version}/conf/{link}/{key}", value=value)


def _bridge_again(shown: dict[str, Any]) -> list[str]:
    """Without STP: its first port forwards at once."""
    name = shown["ifname"]
    lines = [
        f"link add name {name} index {shown['ifindex']} address {shown['address']} mtu {shown['mtu']} type bridge "
        "stp_state 0 forward_delay 0"
    ]
    return [*lines, f"link set dev {name} alias {shown.get('ifalias', NO_ALIAS)}"]


def _as_links(shown: list[dict[str, Any]]) -> list[str]:
    """Bridges first. STP comes with a bridge's first port, which goes on forwarding, and before its second: two cables
    without it are a loop."""
    stp = {one["ifname"]: _stp(one["ifname"]) for one in shown if one.get("linkinfo", {}).get("info_kind") == "bridge"}
    lines = []
    for one in shown:
        lines += [*_as_link(one), *stp.pop(one.get("master", ""), [])]
    lines += [line for left in stp.values() for line in left]
    return lines + [line for one in shown for line in _forwards(one)]


def _forwards(shown: dict[str, Any]) -> list[str]:
    """Of a port that a change of STP may have blocked: without STP it would forward only after a while. The kernel
    refuses it where STP is on."""
    data = shown.get("linkinfo", {}).get("info_slave_data", {})
    if data.get("state") != "forwarding":
        return []
    # Another priority, so that it forgets what it has heard of a port that has left: see bridge_stp.claim.
    words = ("priority 0", f"priority {data['priority']}", "state 3")
    return [f"link set dev {shown['ifname']} type bridge_slave {word}" for word in words]


def _stp(bridge: str) -> list[str]:
    on, forward_delay = bridge_stp.read(bridge)
    bridge_set = f"link set dev {bridge} type bridge"
    delay = f"forward_delay {round(forward_delay * bridge_stp.USER_HZ)}"
    if on:
        return [f"{bridge_set} {delay} stp_state 1"]
    # With STP on the kernel takes no delay below 2 s.
    return [f"{bridge_set} stp_state 0", f"{bridge_set} {delay}"]


def _as_link(shown: dict[str, Any]) -> list[str]:
    name = shown["ifname"]
    master = f"master {shown['master']}" if "master" in shown else "nomaster"
    state = "up" if "UP" in shown["flags"] else "down"
    tuned = bridge_settings.lines(shown)  # before it is up: STP may prefer it for its port number
    return [f"link set dev {name} {master}", *tuned, f"link set dev {name} mtu {shown['mtu']} {state}"]


def _hears_routers(name: str, before: Snapshot) -> bool:
    """The kernel itself; systemd-networkd and NetworkManager tell it not to, and hear them in its stead."""
    accepts, forwards = (before.get((name, f"sysctl ipv6 {key}"), "0") for key in ("accept_ra", "forwarding"))
    return accepts == "2" or (accepts == "1" and forwards != "1")


def _lasting(what: Carried, hears: bool) -> list[moves.Address]:
    """hears: what a router gave is left to the kernel, which asks again and would not take ours for its own. Those of
    a router have 64 bits; DHCPv6 gives whole ones."""
    return [one for one in what.addresses if not (hears and one.ipv6 and one.dynamic and "/64" in one.words)]


def _put_on(what: Carried, hears: bool) -> list[str]:
    lines = [f"link set dev {what.link} up"] if what else []
    lines += [address.put_on(what.link) for address in _lasting(what, hears)]
    lines += [f"neighbour replace {neighbour} dev {what.link}" for neighbour in what.neighbours]
    routes = [route for route in moves.in_their_order(what) if not (hears and carried.renewed(route))]
    return lines + [line for route in routes for line in moves.put_route(route, ahead=route in what.ahead)]


def _with_own_mtu(what: Carried, hears: bool) -> list[str]:
    """IPv6 routes that have one: the kernel changes it with the link's, when that is the same or becomes lower."""
    routes = [route for route in what.routes if " mtu " in route and ":" in route.split()[1]]
    return [f"route replace {route}" for route in routes if not (hears and carried.renewed(route))]


def _take_from(what: Carried, other: Carried) -> list[str]:
    """The other link does not keep what it did not carry before."""
    routes = [moves.renamed(moves.handed_over(route), what.link, other.link) for route in what.routes]
    lines = [f"route delete {route}" for route in routes if route not in other.routes]
    addresses = [address for address in what.addresses if address not in other.addresses]
    return lines + [address.take_from(other.link) for address in reversed(addresses)]


def _rules(what: Carried, other: str) -> list[Step]:
    steps: list[Step] = []
    for version, rule in what.rules:
        # `rule add` takes the same rule twice, so that it is first taken away wherever it is.
        lines = [f"rule delete {moves.renamed(rule, what.link, other)}", f"rule delete {rule}", f"rule add {rule}"]
        steps += batch(lines, f"-{version}")
    return steps


def _ipv6_waits(name: str, before: Snapshot) -> list[Step]:
    if before.get((name, "sysctl ipv6 disable_ipv6")) != "0":
        return []
    return [sysctl("ipv6", name, "addr_gen_mode", "1"), sysctl("ipv6", name, "disable_ipv6", "0")]


def _sysctls(name: str, before: Snapshot, *, up: bool) -> list[Write]:
    found: list[Write] = []
    for version, keys in snapshot.SYSCTLS.items():
        for key in sorted(keys, key=lambda key: key in LAST):
            value = before.get((name, f"sysctl {version} {key}"))
            if value is not None:
                found.append(sysctl(version, name, key, value))
    if up:
        return found
    # Another mode than its owner has set meanwhile would give a link-local address to one that is down too.
    waits = sysctl("ipv6", name, "disable_ipv6", "1")
    mode_first = sorted(found, key=lambda step: step["path"] == waits["path"])
    return [waits, *mode_first]
