"""The attributes of VFs by netlink: what `ip link show PF` lists below a PF, and what `ip link set PF vf N …` sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute

from kvmagent import links
from virtnet.vf import LINK_STATES, NO_MAC

EXT_MASK_VF = 1  # RTEXT_FILTER_VF: without it the kernel leaves IFLA_VFINFO_LIST out
UNKNOWN = 0xFFFFFFFF  # what the kernel says for what the driver does not tell

Value = str | int | bool


@dataclass(frozen=True)
class Found:
    """The attributes of one VF; None where the driver does not tell. Rates in Mbit/s."""

    mac: str = ""
    vlan: int = 0
    qos: int = 0
    spoofchk: bool | None = None
    trust: bool | None = None
    link_state: str | None = None
    min_tx_rate: int | None = None
    max_tx_rate: int | None = None

    def value(self, attribute: str) -> Value | None:
        """By the attribute's name; a MAC that is not set is NO_MAC, as it would be set."""
        found: Value | None = getattr(self, attribute)
        return (found or NO_MAC) if attribute == "mac" else found


def read(pf: str) -> dict[int, Found]:
    """By VF index; empty for what has no VFs. Raises links.NoSuchLink, NetlinkError."""
    with IPRoute() as netlink:
        index = links.find(netlink, pf)["index"]
        (message,) = netlink.link("get", index=index, ext_mask=EXT_MASK_VF)
    told = message.get_attr("IFLA_VFINFO_LIST")
    return dict(_found(info) for info in told.get_attrs("IFLA_VF_INFO")) if told is not None else {}


def set_values(pf: str, vf: int, values: dict[str, Value]) -> None:
    """ip link set PF vf N … in one message; vlan and qos are one attribute to the kernel, and so are the two rates:
    the caller gives both of a pair. Raises links.NoSuchLink, NetlinkError."""
    wanted: dict[str, Any] = {"vf": vf}
    for attribute in ("mac", "spoofchk", "trust"):
        if attribute in values:
            wanted[attribute] = values[attribute] if attribute == "mac" else int(values[attribute])
    if "vlan" in values:
        wanted["vlan"] = {"vlan": values["vlan"], "qos": values["qos"]}
    if "max_tx_rate" in values:
        wanted["rate"] = {"min_tx_rate": values["min_tx_rate"], "max_tx_rate": values["max_tx_rate"]}
    if "link_state" in values:
        wanted["link_state"] = LINK_STATES.index(str(values["link_state"]))
    with IPRoute() as netlink:
        netlink.link("set", index=links.find(netlink, pf)["index"], vf=wanted)


def _found(info: Any) -> tuple[int, Found]:
    mac, vlan, rate = info.get_attr("IFLA_VF_MAC"), info.get_attr("IFLA_VF_VLAN"), info.get_attr("IFLA_VF_RATE")
    address = str(mac["mac"]) if mac is not None else ""
    state = _told(info, "IFLA_VF_LINK_STATE", "link_state")
    spoofchk, trust = _told(info, "IFLA_VF_SPOOFCHK", "spoofchk"), _told(info, "IFLA_VF_TRUST", "trust")
    return int(mac["vf"] if mac is not None else vlan["vf"]), Found(
        mac="" if address == NO_MAC else address,
        vlan=vlan["vlan"] if vlan is not None else 0,
        qos=vlan["qos"] if vlan is not None else 0,
        spoofchk=None if spoofchk is None else bool(spoofchk),
        trust=None if trust is None else bool(trust),
        link_state=LINK_STATES[state] if state is not None and state < len(LINK_STATES) else None,
        min_tx_rate=rate["min_tx_rate"] if rate is not None else None,
        max_tx_rate=rate["max_tx_rate"] if rate is not None else None,
    )


def _told(info: Any, attribute: str, field: str) -> int | None:
    found = info.get_attr(attribute)
    return None if found is None or found[field] == UNKNOWN else int(found[field])
