"""The one nftables table of our own, `table inet kvmpanel`, rendered whole from the rules of each network.

libvirt's own forward mode `nat` rejects what a table of ours accepts, so a NAT network of the panel is `open` to
libvirt and NAT here. The whole table is replaced in one transaction: there is no moment with half of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from pydantic import BaseModel, ConfigDict

from virtnet.fields import LinkName

TABLE = "kvmpanel"


class NetworkRules(BaseModel):
    """What the firewall does for one network: its bridge, its subnet, and whether it leaves behind the host's
    address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bridge: LinkName
    subnet: IPv4Network
    masquerade: bool


def ruleset(rules: Iterable[NetworkRules]) -> str:
    """The text for `nft -f -`: creates, empties and fills the table in one transaction."""
    ordered = sorted(rules, key=lambda one: one.bridge)
    # What comes in is judged for all networks first, or one network's "may leave" would open the next network.
    judges = (_within, _inbound, _outbound)
    forward = [line for judge in judges for one in ordered for line in judge(one)]
    postrouting = [line for one in ordered for line in _postrouting(one)]
    return "\n".join(
        [
            # `add` first, so that `delete` cannot fail on a host that has no table yet.
            f"add table inet {TABLE}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            "\tchain forward {",
            "\t\ttype filter hook forward priority filter; policy accept;",
            *(f"\t\t{line}" for line in forward),
            "\t}",
            "\tchain postrouting {",
            "\t\ttype nat hook postrouting priority srcnat; policy accept;",
            *(f"\t\t{line}" for line in postrouting),
            "\t}",
            "}",
            "",
        ]
    )


def _within(one: NetworkRules) -> list[str]:
    return [f'iifname "{one.bridge}" oifname "{one.bridge}" accept']


def _inbound(one: NetworkRules) -> list[str]:
    answers = f'oifname "{one.bridge}" ip daddr {one.subnet} ct state established,related accept'
    return [*([answers] if one.masquerade else []), f'oifname "{one.bridge}" drop']


def _outbound(one: NetworkRules) -> list[str]:
    # A guest may only speak from its own subnet, or its packets would leave without being hidden.
    leave = f'iifname "{one.bridge}" ip saddr {one.subnet} accept'
    return [*([leave] if one.masquerade else []), f'iifname "{one.bridge}" drop']


def _postrouting(one: NetworkRules) -> list[str]:
    if not one.masquerade:
        return []
    # Multicast and the subnet itself stay as they are.
    return [
        f"ip saddr {one.subnet} ip daddr 224.0.0.0/4 return",
        f'ip saddr {one.subnet} ip daddr != {one.subnet} oifname != "{one.bridge}" masquerade',
    ]
