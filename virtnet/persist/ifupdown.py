"""ifupdown: the bridge's stanzas in a file of our own with all that the uplink's say; the uplink's are commented out,
because a port must have none. man interfaces.

Only iproute2 is asked: the package bridge-utils, which `bridge_ports` needs, may not be there.
"""

from __future__ import annotations

import fnmatch
import re

from virtnet.configuration import ConfigurationFile, FileChange, LinkConfiguration
from virtnet.persist.interfaces import Stanza, stanzas
from virtnet.persist.lasting import BEHIND, SECOND, CannotLast, LastingBridge
from virtnet.persist.marked import add_lines, comment_out
from virtnet.text import Text, text

MAIN = "/etc/network/interfaces"
DIRECTORY = "/etc/network"
# The name in a line with `source` is expanded as a shell would.
OURS = re.compile(r"[^A-Za-z0-9_-]")


def file_changes(
    bridge: LastingBridge, configuration: LinkConfiguration, second: LinkConfiguration | None
) -> list[FileChange]:
    path = our_path(bridge.name)
    links = [name for _, name, _ in bridge.ports]
    own = {file.path: _of_all(links, file) for file in configuration.files}
    taken = {
        name: [stanza for stanza in found if stanza.words[:2] == ["iface", configuration.link]]
        for name, found in own.items()
    }
    # Nobody reads ours before the one write that takes the uplink's stanzas away too: a power cut leaves the one or the
    # other.
    turning_point = next((name for name, found in taken.items() if found), MAIN)
    changed: list[FileChange] = []
    for file in configuration.files:
        if not own[file.path] and file.path != turning_point:
            continue
        if "generated from information provided by the datasource" in file.text:
            raise CannotLast(
                text("%(path)s is cloud-init's, which may write it again at the host's start.", path=file.path)
            )
        after = _without(links, file, own[file.path], bridge.name)
        if file.path == turning_point:
            after = add_lines(after, [f"source {path}"], bridge.name)
        changed.append(FileChange(path=file.path, before=file.text, after=after))
    changed.sort(key=lambda change: change.path != turning_point)
    stanzas_of_ours = [stanza for found in taken.values() for stanza in found]
    return [FileChange(path=path, after=_file(bridge, stanzas_of_ours)), *changed]


def our_path(bridge: str) -> str:
    return f"{DIRECTORY}/kvmpanel-{OURS.sub('_', bridge)}"


def _file(bridge: LastingBridge, taken: list[Stanza]) -> str:
    heads = [(stanza.words, stanza.options) for stanza in taken] or [(["iface", "", "inet", "manual"], [])]
    lines = [f"auto {bridge.name}"]
    for number, (words, options) in enumerate(heads):
        lines.append(" ".join(["iface", bridge.name, *words[2:]]))
        lines += [f"    {line}" for line in _made_by_hand(bridge)] if number == 0 else []
        options = [option for option in options if not (bridge.sets_mtu and option.split()[:1] == ["mtu"])]
        lines += [f"    {_on_the_bridge(option, bridge)}" for option in options if not option.startswith("#")]
    return bridge.header + "\n".join(lines) + "\n"


def _made_by_hand(bridge: LastingBridge) -> list[str]:
    """Safe to run where the bridge is there: its guests' taps stay on it when somebody restarts the service."""
    name = bridge.name
    like_it = (f" address {bridge.mac}" if bridge.mac else "") + (f" mtu {bridge.mtu}" if bridge.mtu else "")
    lines = [
        f"pre-up ip link show dev {name} >/dev/null 2>&1 || "
        f"ip link add name {name}{like_it} type bridge "
        f"stp_state {int(bridge.stp)} forward_delay {100 * bridge.forward_delay}"
    ]
    join = f"ip link set dev $port{f' mtu {bridge.mtu}' if bridge.mtu else ''} master {name}"
    no_ipv6 = "echo 1 >/proc/sys/net/ipv6/conf/$port/disable_ipv6"
    for called, uplink, permanent_mac in bridge.ports:
        behind = f"bridge link set dev $port priority {BEHIND}; ip link set dev $port up"
        one = f"{{ {join}; {behind}; }}" if called == SECOND else f"{join} up"
        if permanent_mac:
            # By its MAC address, so that the port is found under another name too; the bridge has the same one.
            ports = f"$(grep -l -i -x {permanent_mac} /sys/class/net/*/address | cut -d / -f 5)"
            lines.append(f"pre-up for port in {ports}; do [ $port = {name} ] || {one}; done")
            lines.append(f"pre-up for port in {ports}; do [ $port = {name} ] || {no_ipv6}; done || true")
        else:
            lines.append(f"pre-up port={uplink}; {one}; {no_ipv6} || true")
    return [*lines, f"up ip link set dev {name} up"]


def _on_the_bridge(option: str, bridge: LastingBridge) -> str:
    """`up ip route add … dev eth0` speaks of the bridge now; `up ethtool -K eth0 …` of the card still."""
    return re.sub(rf"\bdev {re.escape(bridge.uplink or '')}(?=\s|;|$)", f"dev {bridge.name}", option)


def _of_all(links: list[str], file: ConfigurationFile) -> list[Stanza]:
    return list({stanza.lines[0]: stanza for link in links for stanza in _stanzas_of(link, file)}.values())


def _stanzas_of(link: str, file: ConfigurationFile) -> list[Stanza]:
    """Those that name the link. Raises CannotLast where one speaks of it in a way that would have to be understood."""
    found = []
    for stanza in stanzas(file.text):
        names = stanza.words[1:]
        if stanza.is_list_of_links:
            if link in names:
                found.append(stanza)
            elif any(name.startswith("/") and fnmatch.fnmatch(link, name[1:].partition("/")[0]) for name in names):
                raise CannotLast(_odd(file, link, " ".join(stanza.words)))
        elif stanza.words[0] == "iface" and names[:1] == [link]:
            if any(re.match(r"(bond|vlan|wpa|wireless|bridge)[-_]", option) for option in stanza.options):
                raise CannotLast(_odd(file, link, " ".join(stanza.words)))
            found.append(stanza)
        elif stanza.words[0] in {"mapping", "rename"} and any(
            fnmatch.fnmatch(link, name.partition("=")[0]) or name.endswith(f"={link}") for name in names
        ):
            raise CannotLast(_odd(file, link, " ".join(stanza.words)))
        elif stanza.words[0] == "iface" and (uses := _stands_on(link, stanza)):
            raise CannotLast(_odd(file, link, uses))
    return found


def _stands_on(link: str, stanza: Stanza) -> str | None:
    """A VLAN, a bridge or a bond over the link, which would lose it."""
    name = stanza.words[1] if len(stanza.words) > 1 else ""
    if name.startswith((f"{link}.", f"{link}:")):
        return " ".join(stanza.words)
    lower = re.compile(r"(vlan[-_]raw[-_]device|bridge[-_]ports|bond[-_]slaves)\s")
    return next((line for line in stanza.options if lower.match(line) and link in line.split()[1:]), None)


def _odd(file: ConfigurationFile, link: str, line: str) -> Text:
    return text("%(path)s speaks of %(link)s in “%(line)s”: change that first.", path=file.path, link=link, line=line)


def _without(links: list[str], file: ConfigurationFile, own: list[Stanza], bridge: str) -> str:
    """The file with the links' stanzas commented out; of a list of links only these go."""
    lines: set[int] = set()
    others: list[str] = []
    for stanza in own:
        lines.update(stanza.lines)
        left = [name for name in stanza.words[1:] if name not in links]
        if stanza.is_list_of_links and left:
            others.append(" ".join([stanza.words[0], *left]))
    after = comment_out(file.text, lines, bridge)
    return add_lines(after, others, bridge) if others else after
