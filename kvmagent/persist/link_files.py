"""udev's .link files: one that names a card by its MAC address alone names a bridge over that card too, which has the
same. Whichever of the two is there first at the host's start gets the name. man systemd.link
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from kvmagent.persist.owners import read_file

# The same name in an earlier one hides it in a later one.
DIRECTORIES = tuple(Path(one) / "systemd/network" for one in ("/etc", "/run", "/usr/lib", "/lib"))
OF_A_BRIDGE = {"type": "bridge", "driver": "bridge", "kind": "bridge"}
# What a bridge does not have.
OF_A_CARD = {"permanentmacaddress", "path", "property"}

Sections = dict[str, dict[str, list[str]]]  # section -> key, both in lower case -> words of all its lines


def also_names(mac: str) -> str:
    """The file that would name a bridge with this MAC address as the card is named; "" where there is none."""
    paths = {path.name: path for directory in reversed(DIRECTORIES) for path in directory.glob("*.link")}
    for name in sorted(paths):
        file = read_file(paths[name])
        found = _sections(file.text) if file is not None else {}
        if found and _matches_bridge(found.get("match", {}), mac):  # udev asks no other
            return str(paths[name]) if found.get("link", {}).get("name") else ""
    return ""


def _matches_bridge(match: dict[str, list[str]], mac: str) -> bool:
    if match.keys() & OF_A_CARD:
        return False
    if "macaddress" in match and _digits(mac) not in map(_digits, match["macaddress"]):
        return False
    if "originalname" in match and "*" not in match["originalname"]:
        return False
    return all(_is_one_of(is_so, match[key]) for key, is_so in OF_A_BRIDGE.items() if key in match)


def _is_one_of(word: str, patterns: list[str]) -> bool:
    """patterns: of shell; a "!" before the first reverses them all."""
    if patterns[:1] and patterns[0].startswith("!"):
        return not _is_one_of(word, [patterns[0][1:], *patterns[1:]])
    return any(fnmatchcase(word, pattern) for pattern in patterns)


def _digits(mac: str) -> str:
    return re.sub(r"[^0-9a-f]", "", mac.lower())


def _sections(text: str) -> Sections:
    found: Sections = {}
    section: dict[str, list[str]] = {}
    for line in text.splitlines():
        if header := re.fullmatch(r"\[([^\]]+)\]\s*", line):
            section = found.setdefault(header[1].lower(), {})
        elif "=" in line and not line.lstrip().startswith(("#", ";")):
            key, _, value = line.partition("=")
            section.setdefault(key.strip().lower(), []).extend(value.split())
    return found
