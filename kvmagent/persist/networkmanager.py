"""NetworkManager on this host: the profile that a link was brought up with, and the profiles of a bridge.

The link's state file under /run says which profile that is: https://networkmanager.dev/docs/ (device state).
"""

from __future__ import annotations

from configparser import Error, RawConfigParser
from pathlib import Path

from kvmagent.persist.owners import Link, OwnerFailed, ask, read_file
from virtnet.configuration import ConfigurationFile, DhcpClient, LinkConfiguration
from virtnet.persist.networkmanager import bridge_uuid, our_path, port_uuid

UNIT = Path("/run/systemd/units/invocation:NetworkManager.service")  # there while it runs
DEVICES = Path("/run/NetworkManager/devices")
PROFILES = tuple(Path(one) / "NetworkManager/system-connections" for one in ("/etc", "/run", "/usr/lib"))
LEASES = Path("/var/lib/NetworkManager")


def is_here() -> bool:
    return UNIT.is_symlink()


def read(link: Link) -> LinkConfiguration | None:
    """None where NetworkManager leaves the link alone."""
    device = _keyfile(DEVICES / str(link.index))
    uuid = device.get("device", "connection-uuid", fallback="")
    if not is_here() or not uuid or not device.getboolean("device", "managed", fallback=False):
        return None
    file = _profile(uuid)
    if file is None:
        return None
    profile = _keyfile(Path(file.path))
    dhcp = profile.get("ipv4", "method", fallback="auto") == "auto"
    client: DhcpClient | None = None
    if (LEASES / f"internal-{uuid}-{link.name}.lease").exists():
        client = "networkmanager"
    return LinkConfiguration(
        link=link.name,
        owner="networkmanager",
        permanent_mac=link.permanent_mac,
        dhcp=dhcp,
        client=client if dhcp else None,
        client_id=_client_id(link) if dhcp else "",
        files=(file,),
    )


def without(link: Link) -> LinkConfiguration:
    """Of a link that has no profile."""
    return LinkConfiguration(link=link.name, owner="networkmanager", permanent_mac=link.permanent_mac)


def check(bridge: str) -> None:
    """That NetworkManager takes the profiles. It brings nothing up with them now. Raises OwnerFailed."""
    for path in (our_path(bridge), our_path(f"{bridge}-port")):
        if Path(path).exists():
            ask(["nmcli", "connection", "load", path])
    ask(["nmcli", "-g", "connection.id", "connection", "show", str(bridge_uuid(bridge))])


def hand_over(bridge: str, uplink: LinkConfiguration) -> None:
    """The bridge first, so that there is one that the port can join. Raises OwnerFailed."""
    ask(["nmcli", "connection", "up", str(bridge_uuid(bridge))], timeout=60)
    if uplink.link:
        ask(["nmcli", "connection", "up", str(port_uuid(bridge))], timeout=60)


def take_back(bridge: str, uplink: LinkConfiguration) -> None:
    """The profiles' files have gone; the uplink's own comes up again. Raises OwnerFailed."""
    ask(["nmcli", "connection", "reload"])
    if uplink.files:
        uuid = _keyfile(Path(uplink.files[0].path)).get("connection", "uuid", fallback="")
        ask(["nmcli", "connection", "up", uuid], timeout=60)


def _profile(uuid: str) -> ConfigurationFile | None:
    for directory in PROFILES:
        for path in sorted(directory.glob("*")):
            if _keyfile(path).get("connection", "uuid", fallback="") == uuid:
                return read_file(path)
    return None


def _keyfile(path: Path) -> RawConfigParser:
    """Empty where it is not there or no keyfile."""
    parser = RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read(path)
    except (Error, UnicodeDecodeError):
        return RawConfigParser()
    return parser


def _client_id(link: Link) -> str:
    """Hexadecimal; "" where it is the MAC address, which a bridge over the link has too."""
    try:
        said = ask(["nmcli", "-g", "DHCP4.OPTION", "device", "show", link.name])
    except OwnerFailed:
        return ""
    for option in said.replace("\\:", ":").split("|"):
        name, _, value = option.partition(" = ")
        if name.strip().endswith("dhcp_client_identifier"):
            found = value.strip().replace(":", "").lower()
            return "" if found.startswith("01") and len(found) == 14 else found
    return ""
