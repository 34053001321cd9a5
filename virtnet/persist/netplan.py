"""netplan: a file of our own for the bridge with all that the uplink's block says; that block is commented out where it
stands, because netplan adds lists (addresses, routes) of all files together. https://netplan.readthedocs.io

Blocks are taken line by line as people and installers write them; what is written otherwise is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from virtnet.configuration import ConfigurationFile, FileChange, LinkConfiguration
from virtnet.persist.lasting import CannotLast, LastingBridge
from virtnet.persist.marked import comment_out
from virtnet.persist.networkd import iaid
from virtnet.text import Text, text

DIRECTORY = "/etc/netplan"
# Of the card itself, not of what it carries; the bridge has a MAC address and an MTU of its own.
OF_THE_CARD = {"match", "set-name", "macaddress", "mtu", "wakeonlan", "emit-lldp"}
USUAL_MTU = 1500


@dataclass(frozen=True)
class Block:
    """A key with what is below it. lines: indexes as of text.splitlines(). indent: of the key, in spaces."""

    key: str
    indent: int
    lines: range


def file_changes(bridge: LastingBridge, configuration: LinkConfiguration) -> list[FileChange]:
    own: list[str] = []
    changed: list[FileChange] = []
    for file in configuration.files:
        if not file.path.startswith(f"{DIRECTORY}/"):
            continue
        if re.search(r"^\s*renderer:\s*NetworkManager", file.text, re.MULTILINE):
            raise CannotLast(text("%(path)s hands the network to NetworkManager.", path=file.path))
        block = _block_of(configuration, file) if bridge.uplink is not None else None
        if block is None:
            continue
        if "cloud-init" in file.text.partition("network:")[0]:
            raise CannotLast(
                text("%(path)s is cloud-init's, which may write it again at the host's start.", path=file.path)
            )
        own += _below(file, block)
        after = comment_out(file.text, set(_with_empty_parent(file, block)), bridge.name)
        changed.append(FileChange(path=file.path, before=file.text, after=after))
    # Ours is there before the uplink's goes: with both, a power cut in between leaves the host its address.
    ours = [FileChange(path=our_path(bridge.name), after=_file(bridge, own))]
    if number := iaid(configuration.client_id):
        # netplan has no word for it; networkd would make another one from the bridge's name.
        path = f"/etc/systemd/network/10-netplan-{bridge.name}.network.d/kvmpanel.conf"
        ours.append(FileChange(path=path, after=f"{bridge.header}[DHCPv4]\nIAID={number}\n"))
    return [*ours, *changed]


def our_path(bridge: str) -> str:
    return f"{DIRECTORY}/90-kvmpanel-{bridge}.yaml"


def _file(bridge: LastingBridge, own: list[str]) -> str:
    port = f"kvmpanel-{bridge.name}" if bridge.permanent_mac else bridge.uplink
    mtu = [f"mtu: {bridge.mtu}"] if bridge.mtu and bridge.mtu != USUAL_MTU else []
    lines = ["network:", "  version: 2"]
    if port is not None:
        lines += ["  ethernets:", f"    {port}:"]
        if bridge.permanent_mac:  # so that the port is found under another name too
            lines += ["      match:", f'        macaddress: "{bridge.permanent_mac}"']
        lines += [f"      {line}" for line in [*mtu, "link-local: []", "dhcp4: false", "dhcp6: false"]]
    lines += ["  bridges:", f"    {bridge.name}:"]
    about = [f"interfaces: [{port or ''}]"]
    about += [f'macaddress: "{bridge.mac}"'] if bridge.mac else []
    about += [*mtu, "parameters:", "  stp: false", "  forward-delay: 0"]
    lines += [f"      {line}" for line in about + own]
    return bridge.header + "\n".join(lines) + "\n"


def _block_of(configuration: LinkConfiguration, file: ConfigurationFile) -> Block | None:
    """The link's, by its key, by set-name, or by its MAC address."""
    lines = file.text.splitlines()
    if any("\t" in line.partition("#")[0] for line in lines):
        raise CannotLast(_unreadable(file))
    found = []
    for network in _blocks(lines, range(len(lines)), file):
        for kind in _blocks(lines, network.lines[1:], file) if network.key == "network" else []:
            for one in _blocks(lines, kind.lines[1:], file):
                body = "\n".join(lines[index] for index in one.lines)
                if _names(configuration, one.key, body):
                    if kind.key != "ethernets" or re.search(r"[&*]\w|<<:", body):
                        raise CannotLast(_unreadable(file))
                    found.append(one)
                elif re.search(rf"^\s*(-|interfaces:|link:).*\b{re.escape(configuration.link)}\b", body, re.MULTILINE):
                    raise CannotLast(
                        text("%(path)s puts %(key)s on %(link)s.", path=file.path, key=one.key, link=configuration.link)
                    )
    if len(found) > 1:
        raise CannotLast(_unreadable(file))
    return found[0] if found else None


def _names(configuration: LinkConfiguration, key: str, body: str) -> bool:
    mac = configuration.permanent_mac
    return (
        key == configuration.link
        or re.search(rf"^\s*set-name:\s*[\"']?{re.escape(configuration.link)}[\"']?\s*$", body, re.MULTILINE)
        is not None
        or (mac != "" and re.search(rf"^\s*macaddress:\s*[\"']?{mac}", body, re.MULTILINE | re.IGNORECASE) is not None)
    )


def _blocks(lines: list[str], where: range, file: ConfigurationFile) -> list[Block]:
    """The keys of the least indentation there, each with all lines up to the next."""
    starts: list[tuple[int, int, str]] = []
    indent = None
    for index in where:
        line = lines[index]
        if not line.strip() or line.lstrip().startswith("#") or line.startswith("---"):
            continue
        depth = len(line) - len(line.lstrip(" "))
        indent = depth if indent is None else indent
        if depth == indent and (key := re.match(r"\s*[\"']?([\w.:-]+?)[\"']?:(\s|$)", line)):
            if "{" in line.partition("#")[0]:
                raise CannotLast(_unreadable(file))
            starts.append((index, depth, key[1]))
    ends = [start for start, _, _ in starts[1:]] + [where.stop] * bool(starts)
    return [
        Block(key, depth, _trimmed(lines, range(start, end)))
        for (start, depth, key), end in zip(starts, ends, strict=True)
    ]


def _trimmed(lines: list[str], block: range) -> range:
    """Without the comments and empty lines at its end, which belong to what comes after."""
    end = block.stop
    while end > block.start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return range(block.start, end)


def _below(file: ConfigurationFile, block: Block) -> list[str]:
    """What the block says beyond the card itself, without its indentation."""
    lines = file.text.splitlines()
    inner = _blocks(lines, block.lines[1:], file) if len(block.lines) > 1 else []
    return [
        lines[index][one.indent :]
        for one in inner
        if one.key not in OF_THE_CARD
        for index in one.lines
        if lines[index].strip() and not lines[index].lstrip().startswith("#")
    ]


def _with_empty_parent(file: ConfigurationFile, block: Block) -> range:
    """netplan takes no `ethernets:` with nothing below it, so that goes with its only block."""
    lines = file.text.splitlines()
    for network in _blocks(lines, range(len(lines)), file):
        for kind in _blocks(lines, network.lines[1:], file):
            if block.lines.start in kind.lines and len(_blocks(lines, kind.lines[1:], file)) == 1:
                return kind.lines
    return block.lines


def _unreadable(file: ConfigurationFile) -> Text:
    return text("%(path)s is written in a way that the panel does not change.", path=file.path)
