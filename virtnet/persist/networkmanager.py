"""NetworkManager: a profile for the bridge with the addresses of the uplink's, and one for the port.

The uplink's own profile stays as it is: of all that match a card NetworkManager takes the one of the highest priority,
and ours has the highest that there is. man nm-settings-keyfile.
"""

from __future__ import annotations

from configparser import RawConfigParser
from uuid import NAMESPACE_DNS, UUID, uuid5

from virtnet.configuration import FileChange, LinkConfiguration
from virtnet.persist.lasting import BEHIND, SECOND, CannotLast, LastingBridge
from virtnet.text import text

DIRECTORY = "/etc/NetworkManager/system-connections"
HIGHEST_PRIORITY = 999
# What of the uplink's [connection] is said of its addresses and not of the card.
OF_THE_ADDRESSES = ("zone", "metered", "mdns", "llmnr", "dns-over-tls", "permissions", "secondaries")
COPIED = ("ipv4", "ipv6", "proxy")
READY = "NetworkManager-wait-online.service"
OF_GUESTS = ("libvirtd.service", "virtqemud.service")  # the second where libvirt's daemon is in parts


def file_changes(
    bridge: LastingBridge, configuration: LinkConfiguration, second: LinkConfiguration | None
) -> list[FileChange]:
    former = _profile(configuration)
    for one in (configuration, second):
        if one is not None and _profile(one).getint("connection", "autoconnect-priority", fallback=0) >= (
            HIGHEST_PRIORITY
        ):
            raise CannotLast(
                text(
                    "The profile of %(link)s has NetworkManager's highest priority, so a port's could not win.",
                    link=one.link,
                )
            )
    # A port whose bridge has no profile is none: the card has its own. A bridge without its port would have the same
    # addresses beside the card, so it is written last: a power cut leaves the one or the other.
    changes = [
        FileChange(path=our_path(f"{bridge.name}-{called}"), after=_port(bridge, called, name, mac))
        for called, name, mac in bridge.ports
    ]
    bridges = FileChange(path=our_path(bridge.name), after=_bridge(bridge, former, configuration))
    return [*_guests_later(bridge), *changes, bridges]


def our_path(name: str) -> str:
    return f"{DIRECTORY}/kvmpanel-{name}.nmconnection"


def bridge_uuid(bridge: str) -> UUID:
    """Of the bridge's profile: the same whenever it is written."""
    return uuid5(NAMESPACE_DNS, f"{bridge}.bridge.kvmpanel.invalid")


def port_uuid(bridge: str, called: str = "port") -> UUID:
    """called: "port", or "port2" for the second uplink."""
    return uuid5(NAMESPACE_DNS, f"{bridge}.{called}.kvmpanel.invalid")


def _guests_later(bridge: LastingBridge) -> list[FileChange]:
    """NetworkManager makes the bridge some moments after it has started. A guest that starts before has none; one that
    is plugged in before the bridge's profile is up makes NetworkManager take the bridge for somebody else's."""
    after = f"{bridge.header}[Unit]\nWants={READY}\nAfter={READY}\n"
    return [
        FileChange(path=f"/etc/systemd/system/{daemon}.d/kvmpanel-{bridge.name}.conf", after=after)
        for daemon in OF_GUESTS
    ]


def _profile(configuration: LinkConfiguration) -> RawConfigParser:
    """The uplink's; empty where it has none."""
    parser = _parser()
    for file in configuration.files[:1]:
        parser.read_string(file.text)
    return parser


def _bridge(bridge: LastingBridge, former: RawConfigParser, configuration: LinkConfiguration) -> str:
    about = {
        "id": f"kvmpanel-{bridge.name}",
        "uuid": str(bridge_uuid(bridge.name)),
        "type": "bridge",
        "interface-name": bridge.name,
    }
    if former.has_section("connection"):
        about |= {key: value for key, value in former.items("connection") if key in OF_THE_ADDRESSES}
    sections: dict[str, dict[str, str]] = {"connection": about}
    if bridge.written_mtu:
        sections["ethernet"] = {"mtu": str(bridge.written_mtu)}
    sections["bridge"] = {"stp": "true", "forward-delay": str(bridge.forward_delay)} if bridge.stp else {"stp": "false"}
    sections["bridge"] |= {"mac-address": bridge.mac.upper()} if bridge.mac else {}
    sections |= {name: dict(former.items(name)) for name in COPIED if former.has_section(name)}
    sections.setdefault("ipv4", {"method": "disabled"})
    sections.setdefault("ipv6", {"method": "ignore"})
    if configuration.route_metric is not None:  # a bridge's own is another than a card's
        for family in ("ipv4", "ipv6"):
            sections[family].setdefault("route-metric", str(configuration.route_metric))
    if configuration.client_id:  # one that is made from the profile or the card would be another for the bridge
        pairs = [configuration.client_id[index : index + 2] for index in range(0, len(configuration.client_id), 2)]
        sections["ipv4"]["dhcp-client-id"] = ":".join(pairs)
    return _file(bridge, sections)


def _port(bridge: LastingBridge, called: str, uplink: str, permanent_mac: str | None) -> str:
    about = {
        "id": f"kvmpanel-{bridge.name}-{called}",
        "uuid": str(port_uuid(bridge.name, called)),
        "type": "ethernet",
        "autoconnect-priority": str(HIGHEST_PRIORITY),
        "master": str(bridge_uuid(bridge.name)),
        "slave-type": "bridge",
    }
    card: dict[str, str] = {}
    if permanent_mac:  # so that the port is found under another name too
        card["mac-address"] = permanent_mac.upper()
    else:
        about["interface-name"] = uplink
    if bridge.written_mtu:
        card["mtu"] = str(bridge.written_mtu)
    behind = {"bridge-port": {"priority": str(BEHIND)}} if called == SECOND else {}
    return _file(bridge, {"connection": about, "ethernet": card, **behind})


def _file(bridge: LastingBridge, sections: dict[str, dict[str, str]]) -> str:
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key}={value}" for key, value in values.items()), ""]
    return bridge.header + "\n".join(lines)


def _parser() -> RawConfigParser:
    """Keyfiles are glib's: values are taken as they stand."""
    parser = RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    return parser
