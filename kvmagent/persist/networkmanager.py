"""NetworkManager on this host: the profile that a link was brought up with, and the profiles of a bridge.

The link's state file under /run says which profile that is: https://networkmanager.dev/docs/ (device state).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from configparser import Error, RawConfigParser
from pathlib import Path
from socket import AF_INET, if_nametoindex

from pyroute2 import IPRoute

from kvmagent.persist.owners import Link, OwnerFailed, ask, read_file
from virtnet.configuration import ConfigurationFile, DhcpClient, LinkConfiguration
from virtnet.persist.networkmanager import bridge_uuid, our_path, port_uuid

UNIT = Path("/run/systemd/units/invocation:NetworkManager.service")  # there while it runs
DEVICES = Path("/run/NetworkManager/devices")
PROFILES = tuple(Path(one) / "NetworkManager/system-connections" for one in ("/etc", "/run", "/usr/lib"))
RUNTIME_PROFILES = PROFILES[1]
PORT_SECONDS = 5.0
MAIN = 254  # the routing table
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
        route_metric=metric_on(link.name) or device.getint("device", "route-metric-default-effective", fallback=None),
        files=(file,),
    )


def metric_on(link: str) -> int | None:
    """Of the IPv4 routes that NetworkManager has put on the link, which may not be what it would give the link now."""
    with IPRoute() as netlink:
        found = list(netlink.get_routes(family=AF_INET, oif=if_nametoindex(link), table=MAIN))
    return min((metric for route in found if (metric := route.get_attr("RTA_PRIORITY"))), default=None)


def without(link: Link) -> LinkConfiguration:
    """Of a link that has no profile."""
    return LinkConfiguration(link=link.name, owner="networkmanager", permanent_mac=link.permanent_mac)


def check(bridge: str) -> None:
    """That NetworkManager takes the profiles. It brings nothing up with them now. Raises OwnerFailed."""
    for path in (our_path(bridge), our_path(f"{bridge}-port"), our_path(f"{bridge}-port2")):
        if Path(path).exists():
            ask(["nmcli", "connection", "load", path])
    ask(["nmcli", "-g", "connection.id", "connection", "show", str(bridge_uuid(bridge))])


def hand_over(bridge: str, uplink: LinkConfiguration) -> None:
    """The bridge first, so that there is one that the port can join. Raises OwnerFailed, OSError."""
    _bring_up(str(bridge_uuid(bridge)), bridge, leased=uplink.dhcp)
    if uplink.link and not _is_port_soon(uplink.link, str(port_uuid(bridge))):
        ask(["nmcli", "connection", "up", str(port_uuid(bridge))], timeout=60)
    second = str(port_uuid(bridge, "port2"))
    if Path(our_path(f"{bridge}-port2")).exists() and not _is_up_soon(second):
        ask(["nmcli", "connection", "up", second], timeout=60)
    _forget_temporary(uplink, str(bridge_uuid(bridge)))


def take_second(bridge: str, former: str | None, second: str | None) -> None:
    """The bridge is up as it is, and its profiles are others. The former second uplink is NetworkManager's again, and
    the second is up by its own. Raises OwnerFailed."""
    ask(["nmcli", "connection", "reload"])
    if former is not None and former != second:
        hold([former])
    if second is not None:
        hold([second])
        if not _is_port_soon(second, str(port_uuid(bridge, "port2"))):
            ask(["nmcli", "connection", "up", str(port_uuid(bridge, "port2"))], timeout=60)


def take_back(bridge: str, uplink: LinkConfiguration) -> None:
    """The profiles' files have gone; the uplink's own comes up again. Raises OwnerFailed, OSError."""
    ask(["nmcli", "connection", "reload"])
    _use_its_own(uplink)
    _forget_temporary(uplink)


def let_go(links: list[str]) -> None:
    """Before a bridge goes, of it and its ports: else NetworkManager makes it again within 15 ms. What they carry stays
    on them, until NetworkManager is told of them again. Raises OwnerFailed."""
    for link in links:
        ask(["nmcli", "device", "set", link, "managed", "no", "autoconnect", "no"])


def look_again(uplink: LinkConfiguration, ports: list[str]) -> None:
    """The bridge has gone and its profiles are still there, so none comes up by itself. Raises OwnerFailed."""
    for port in ports:
        ask(["nmcli", "device", "set", port, "managed", "yes"])
    _use_its_own(uplink)


def hold(links: list[str]) -> bool:
    """Those that were `let_go` are NetworkManager's as before; whether there were any. Raises OwnerFailed."""
    gone = [one for one in links if ask(["nmcli", "-g", "GENERAL.AUTOCONNECT", "device", "show", one]).strip() == "no"]
    for link in gone:
        ask(["nmcli", "device", "set", link, "managed", "yes", "autoconnect", "yes"])
    return bool(gone)


def _use_its_own(uplink: LinkConfiguration) -> None:
    """The uplink's own profile. Where it is up it stays so: brought up again, the link would be without address for a
    moment."""
    uuid = _uuid_of(uplink)
    if uuid and not (_uuid_on(uplink.link) == uuid and _is_up_soon(uuid)):
        _bring_up(uuid, uplink.link, leased=uplink.dhcp, metric=_metric_before(uplink))


def _uuid_of(uplink: LinkConfiguration) -> str:
    """Of its own profile; "" where it has none."""
    return _keyfile(Path(uplink.files[0].path)).get("connection", "uuid", fallback="") if uplink.files else ""


def _metric_before(uplink: LinkConfiguration) -> list[str]:
    """As nmcli's properties, where the profile leaves its routes' metric to NetworkManager: it gives the uplink another
    where another card has got that since, and would leave what came from the bridge beside its own."""
    profile = _keyfile(Path(uplink.files[0].path)) if uplink.files else RawConfigParser()
    families = [family for family in ("ipv4", "ipv6") if not profile.has_option(family, "route-metric")]
    metric = uplink.route_metric
    return [word for one in families for word in (f"{one}.route-metric", str(metric))] if metric is not None else []


def _bring_up(profile: str, link: str, *, leased: bool, metric: Sequence[str] = ()) -> None:
    """With what the link holds, where that is leased: else it would be without until its client has it again. What is
    modified for that goes by `_forget_temporary`."""
    held = _held(link) if leased else []
    if told := [*held, *metric]:
        ask(["nmcli", "connection", "modify", "--temporary", profile, *told])
    ask(["nmcli", "connection", "up", profile], timeout=60)
    if held:
        ask(["nmcli", "connection", "modify", "--temporary", profile, "ipv4.gateway", "", "ipv4.addresses", ""])
        ask(["nmcli", "device", "reapply", link])


def _forget_temporary(uplink: LinkConfiguration, *profiles: str) -> None:
    """What was modified for a moment, of the uplink's profile and these, would go before their own files until the next
    start. NetworkManager then looks for what it could bring up."""
    own = [Path(file.path) for file in uplink.files]  # an initrd writes there the only one that a link has
    ours = {*profiles, _uuid_of(uplink)} - {""}
    found = [
        path
        for path in RUNTIME_PROFILES.glob("*")
        if path not in own and _keyfile(path).get("connection", "uuid", fallback="") in ours
    ]
    for path in found:
        path.unlink()
    if found:
        ask(["nmcli", "connection", "reload"])


def _is_port_soon(link: str, uuid: str) -> bool:
    """Whether it comes up as a port by itself; told again to, it would leave the bridge for a moment."""
    return _is_soon(lambda: _uuid_on(link) == uuid)


def _uuid_on(link: str) -> str:
    """Of the profile that the link is up with; "" where there is none."""
    return ask(["nmcli", "-g", "GENERAL.CON-UUID", "device", "show", link]).strip()


def _is_up_soon(uuid: str) -> bool:
    return _is_soon(lambda: ask(["nmcli", "-g", "GENERAL.STATE", "connection", "show", uuid]).strip() == "activated")


def _is_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PORT_SECONDS
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _held(link: str) -> list[str]:
    """The IPv4 addresses and the gateway that are on the link now, as nmcli's properties; empty where there is none."""
    (found,) = json.loads(ask(["ip", "-j", "-4", "address", "show", "dev", link]))
    addresses = ",".join(f"{one['local']}/{one['prefixlen']}" for one in found.get("addr_info", ()))
    routes = json.loads(ask(["ip", "-j", "-4", "route", "show", "default", "dev", link]))
    gateway = next((route["gateway"] for route in routes if "gateway" in route), "")
    return ["ipv4.addresses", addresses, "ipv4.gateway", gateway] if addresses else []


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
