"""systemd-networkd: a .netdev for the bridge, its .network with all that the uplink's says, and one for the port.

The uplink's own file stays as it is: of all that match a link networkd takes the first by name, and ours comes first.
man systemd.netdev, systemd.network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from virtnet.configuration import FileChange, LinkConfiguration
from virtnet.persist.lasting import BEHIND, SECOND, CannotLast, LastingBridge
from virtnet.text import text

DIRECTORY = "/etc/systemd/network"
# Before "00-…" too, as "-" sorts before the digits.
FIRST = "0-kvmpanel-"
# What stands on the uplink itself would have to be moved too.
STANDS_ON_IT = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "vxlan", "tunnel", "bridge", "bond", "vrf", "macsec"}
WITHOUT_CARRIER = "configurewithoutcarrier"

Section = tuple[str, list[str]]  # its name, and its lines as they stand


def file_changes(
    bridge: LastingBridge, configuration: LinkConfiguration, second: LinkConfiguration | None
) -> list[FileChange]:
    files = {f"{bridge.name}.netdev": _netdev(bridge), f"{bridge.name}.network": _network(bridge, configuration)}
    for called, name, mac in bridge.ports:
        files[f"{bridge.name}-{called}.network"] = _port(bridge, called, name, mac)
    if bridge.uplink is not None and (lines := _without_carrier(configuration)):
        # After the port: before it is one, the bridge would have the addresses beside the card.
        files[f"{bridge.name}.network.d/without-carrier.conf"] = _file(bridge, ["[Network]", *lines])
    changes = [FileChange(path=f"{DIRECTORY}/{FIRST}{name}", after=after) for name, after in files.items()]
    if second is not None:
        for name, body in _sections(second):
            if name == "Network":
                _refuse_what_stands_on_it(second.link, body)
    for file in [*configuration.files, *(second.files if second is not None else ())]:
        name = file.path.rpartition("/")[2]
        if name.endswith(".network") and name < f"{FIRST}{bridge.name}":
            raise CannotLast(
                text("%(path)s comes before every file that the panel could write. Rename it.", path=file.path)
            )
    return changes


def _netdev(bridge: LastingBridge) -> str:
    lines = ["[NetDev]", f"Name={bridge.name}", "Kind=bridge"]
    lines += [f"MACAddress={bridge.mac}"] if bridge.mac else []
    lines += _mtu(bridge)
    lines += ["", "[Bridge]", f"STP={'yes' if bridge.stp else 'no'}", f"ForwardDelaySec={bridge.forward_delay}"]
    return _file(bridge, lines)


def _port(bridge: LastingBridge, called: str, uplink: str, permanent_mac: str | None) -> str:
    # By its permanent MAC address, so that the port is found under another name too.
    match = f"PermanentMACAddress={permanent_mac}" if permanent_mac else f"Name={uplink}"
    lines = ["[Match]", match, ""]
    if mtu := _mtu(bridge):
        lines += ["[Link]", *mtu, ""]
    lines += ["[Network]", f"Bridge={bridge.name}", "LinkLocalAddressing=no"]
    lines += ["", "[Bridge]", f"Priority={BEHIND}"] if called == SECOND else []
    return _file(bridge, lines)


def _network(bridge: LastingBridge, configuration: LinkConfiguration) -> str:
    lines = ["[Match]", f"Name={bridge.name}"]
    for name, body in _sections(configuration):
        if name == "Match":
            continue
        if name == "Network":
            _refuse_what_stands_on_it(configuration.link, body)
            body = [line for line in body if _key(line) != WITHOUT_CARRIER]
        if name == "Link":  # of a MAC address or an MTU that was set: the bridge's .netdev has it
            dropped = {"macaddress", "macaddresspolicy", *(["mtubytes"] if bridge.sets_mtu else [])}
            body = [line for line in body if _key(line) not in dropped]
        lines += ["", f"[{name}]", *body]
    if not any(file.path.endswith(".network") for file in configuration.files):
        # Up without an address, as it was made; nobody waits for it at the start.
        lines += ["", "[Link]", "RequiredForOnline=no", "", "[Network]", "ConfigureWithoutCarrier=yes"]
    if number := iaid(configuration.client_id):
        # Else networkd makes it from the link's name, and the DHCP server gives the bridge another address.
        lines += ["", "[DHCPv4]", f"IAID={number}"]
    return _file(bridge, lines)


def _without_carrier(configuration: LinkConfiguration) -> list[str]:
    sections = [body for name, body in _sections(configuration) if name == "Network"]
    return [line for body in sections for line in body if _key(line) == WITHOUT_CARRIER]


def _mtu(bridge: LastingBridge) -> list[str]:
    return [f"MTUBytes={bridge.written_mtu}"] if bridge.written_mtu else []


def _file(bridge: LastingBridge, lines: list[str]) -> str:
    return bridge.header + "\n".join(lines) + "\n"


def _sections(configuration: LinkConfiguration) -> Iterator[Section]:
    """Of the link's .network and its drop-ins, which networkd reads as if they stood at its end."""
    for file in configuration.files:
        name, body = "", list[str]()
        for line in file.text.splitlines():
            if header := re.fullmatch(r"\[([^\]]+)\]\s*", line):
                yield from [(name, body)] if name else []
                name, body = header[1], []
            elif line.strip():
                body.append(line)
        yield from [(name, body)] if name else []


def _key(line: str) -> str:
    return line.partition("=")[0].strip().lower()


def _refuse_what_stands_on_it(link: str, body: list[str]) -> None:
    for line in body:
        if _key(line) in STANDS_ON_IT:
            raise CannotLast(
                text("systemd-networkd's configuration puts something else on %(link)s: %(line)s", link=link, line=line)
            )


def iaid(client_id: str) -> int | None:
    """RFC 4361: ff, four bytes IAID, DUID. None where the client is known by its MAC address, which the bridge has."""
    return int(client_id[2:10], 16) if client_id.startswith("ff") and len(client_id) > 10 else None
