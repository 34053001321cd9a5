"""netplan: a file of our own for the bridge with all that the uplink's block says; that block is commented out where it
stands, because netplan adds lists (addresses, routes) of all files together. https://netplan.readthedocs.io

Blocks are taken line by line as people and installers write them; what is written otherwise is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from virtnet.configuration import ConfigurationFile, FileChange, LinkConfiguration
from virtnet.persist.lasting import BEHIND, CannotLast, LastingBridge
from virtnet.persist.marked import comment_out
from virtnet.persist.networkd import iaid
from virtnet.text import Text, text

DIRECTORY = "/etc/netplan"
# Of the card itself, not of what it carries; the bridge has a MAC address and an MTU of its own.
OF_THE_CARD = {"match", "set-name", "macaddress", "mtu", "wakeonlan", "emit-lldp"}
# Of these what the port's own block says too: else the card would have another name after the next start.
KEPT = {"set-name", "wakeonlan", "emit-lldp"}


@dataclass(frozen=True)
class Block:
    """A key with what is below it. lines: indexes as of text.splitlines(). indent: of the key, in spaces."""

    key: str
    indent: int
    lines: range


def file_changes(
    bridge: LastingBridge, configuration: LinkConfiguration, second: LinkConfiguration | None
) -> list[FileChange]:
    uplinks = [one for one in (configuration, second) if one is not None] if bridge.uplink is not None else []
    own: list[str] = []
    kept: dict[str, list[str]] = {}
    changed: list[FileChange] = []
    for file in configuration.files:
        if not file.path.startswith(f"{DIRECTORY}/"):
            continue
        if re.search(r"^\s*renderer:\s*NetworkManager", file.text, re.MULTILINE):
            raise CannotLast(text("%(path)s hands the network to NetworkManager.", path=file.path))
        found = [(one, _block_of(one, file)) for one in uplinks]
        blocks = [block for _, block in found if block is not None]
        if not blocks:
            continue
        if "cloud-init" in file.text.partition("network:")[0]:
            raise CannotLast(
                text("%(path)s is cloud-init's, which may write it again at the host's start.", path=file.path)
            )
        for one, block in found:
            if block is not None:
                kept[one.link] = _kept(file, block, has_mac=bool(one.permanent_mac))
                own += _below(file, block) if one is configuration else []
        after = comment_out(file.text, _with_empty_parent(file, blocks), bridge.name)
        changed.append(FileChange(path=file.path, before=file.text, after=after))
    # Ours is there before the uplink's goes: a power cut in between leaves the host its address, and that once. The
    # card has its own still, so the bridge has no port, and without a carrier no address.
    ours = [FileChange(path=our_path(bridge.name), after=_file(bridge, own, kept))]
    if bridge.uplink is not None:
        # netplan has no words for it. Else a bridge has its addresses without a carrier; and networkd would make
        # another IAID from the bridge's name.
        sections = "[Network]\nConfigureWithoutCarrier=no\n"
        if number := iaid(configuration.client_id):
            sections += f"\n[DHCPv4]\nIAID={number}\n"
        drop_ins = f"/etc/systemd/network/10-netplan-{bridge.name}.network.d"
        ours.insert(0, FileChange(path=f"{drop_ins}/kvmpanel.conf", after=bridge.header + sections))
        if any(re.match(r"\s*ignore-carrier:\s*(true|yes|on)\b", line, re.IGNORECASE) for line in own):
            after = f"{bridge.header}[Network]\nConfigureWithoutCarrier=yes\n"
            changed.append(FileChange(path=f"{drop_ins}/without-carrier-kvmpanel.conf", after=after))
    return [*ours, *changed]


def our_path(bridge: str) -> str:
    return f"{DIRECTORY}/90-kvmpanel-{bridge}.yaml"


def _file(bridge: LastingBridge, own: list[str], kept: dict[str, list[str]]) -> str:
    """own: lines of the uplink's block that the bridge takes over. kept: card -> those that its port's block keeps."""
    # By a name of their own also where the card's is the match: of the same name they would be the card's own block.
    ports = {f"kvmpanel-{bridge.name}{called.removeprefix('port')}": (name, mac) for called, name, mac in bridge.ports}
    mtu = [f"mtu: {bridge.written_mtu}"] if bridge.written_mtu else []
    lines = ["network:", "  version: 2"]
    lines += ["  ethernets:"] if ports else []
    for port, (name, mac) in ports.items():
        # By its MAC address, so that the port is found under another name too.
        match = ["match:", f'  macaddress: "{mac}"' if mac else f'  name: "{name}"']
        about = kept.get(name, [])
        about = [*([] if "match:" in about else match), *about]
        lines += [f"    {port}:"]
        lines += [f"      {line}" for line in [*about, *mtu, "link-local: []", "dhcp4: false", "dhcp6: false"]]
    lines += ["  bridges:", f"    {bridge.name}:"]
    about = [f"interfaces: [{', '.join(ports)}]"]
    about += [f'macaddress: "{bridge.mac}"'] if bridge.mac else []
    about += [*mtu, "parameters:", f"  stp: {str(bridge.stp).lower()}", f"  forward-delay: {bridge.forward_delay}"]
    about += [f"  port-priority: {{kvmpanel-{bridge.name}2: {BEHIND}}}"] if bridge.second is not None else []
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
    inner = _said(file, block)
    return [line for key, lines in inner.items() if key not in OF_THE_CARD for line in lines]


def _kept(file: ConfigurationFile, block: Block, *, has_mac: bool) -> list[str]:
    """What it says of the card itself that stays so. A card that is given its name is not found by it: without a
    permanent MAC address it is found as it was."""
    inner = _said(file, block)
    keys = [key for key in inner if key in KEPT or (key == "match" and not has_mac and "set-name" in inner)]
    return [line for key in sorted(keys) for line in inner[key]]


def _said(file: ConfigurationFile, block: Block) -> dict[str, list[str]]:
    """Key -> its lines, without comments, the block's indentation taken off."""
    lines = file.text.splitlines()
    inner = _blocks(lines, block.lines[1:], file) if len(block.lines) > 1 else []
    return {
        one.key: [
            lines[index][one.indent :]
            for index in one.lines
            if lines[index].strip() and not lines[index].lstrip().startswith("#")
        ]
        for one in inner
    }


def _with_empty_parent(file: ConfigurationFile, blocks: list[Block]) -> set[int]:
    """netplan takes no `ethernets:` with nothing below it, so that goes with its last blocks."""
    lines = file.text.splitlines()
    found = {index for block in blocks for index in block.lines}
    for network in _blocks(lines, range(len(lines)), file):
        for kind in _blocks(lines, network.lines[1:], file):
            starts = {one.lines.start for one in _blocks(lines, kind.lines[1:], file)}
            if starts and starts <= {block.lines.start for block in blocks}:
                found |= set(kind.lines)
    return found


def _unreadable(file: ConfigurationFile) -> Text:
    return text("%(path)s is written in a way that the panel does not change.", path=file.path)
