"""The four that may own the network of a Debian host, as an administrator would set each one up for one card."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Literal

Owner = Literal["ifupdown", "networkd", "netplan", "networkmanager"]
UNITS: dict[Owner, tuple[str, ...]] = {
    "ifupdown": ("networking",),
    "networkd": ("systemd-networkd",),
    "netplan": ("systemd-networkd",),
    "networkmanager": ("NetworkManager",),
}


@dataclass(frozen=True)
class Card:
    """How one card is set up. address: None asks DHCP."""

    name: str
    address: IPv4Interface | None
    gateway: IPv4Address
    resolver: IPv4Address


def files(owner: Owner, card: Card) -> dict[str, str]:
    """Path -> text of what this owner reads."""
    write = {"ifupdown": _ifupdown, "networkd": _networkd, "netplan": _netplan, "networkmanager": _networkmanager}
    path, text = write[owner](card)
    return {path: textwrap.dedent(text).lstrip()}


def second(owner: Owner, name: str) -> dict[str, str]:
    """The same for a second card without an address. NetworkManager would ask DHCP for one; the others need no word."""
    if owner != "networkmanager":
        return {}
    profile = f"""
        [connection]
        id=second
        uuid=8c0f6a52-9f0e-4b7e-8a4d-52f1b0c7d3e1
        type=ethernet
        interface-name={name}

        [ipv4]
        method=disabled

        [ipv6]
        method=disabled
        """
    return {"etc/NetworkManager/system-connections/second.nmconnection": textwrap.dedent(profile).lstrip()}


def _ifupdown(card: Card) -> tuple[str, str]:
    method = "dhcp" if card.address is None else "static"
    address = "" if card.address is None else f"address {card.address}\n            gateway {card.gateway}"
    return (
        "etc/network/interfaces",
        f"""
        # This file describes the network interfaces available on your system
        # and how to activate them. For more information, see interfaces(5).

        source /etc/network/interfaces.d/*

        # The loopback network interface
        auto lo
        iface lo inet loopback

        # The primary network interface
        auto {card.name}
        iface {card.name} inet {method}
            {address}
        """,
    )


def _networkd(card: Card) -> tuple[str, str]:
    network = "DHCP=ipv4" if card.address is None else f"Address={card.address}\n        Gateway={card.gateway}"
    return (
        "etc/systemd/network/20-wired.network",
        f"""
        [Match]
        Name={card.name}

        [Network]
        {network}
        DNS={card.resolver}
        """,
    )


def _netplan(card: Card) -> tuple[str, str]:
    if card.address is None:
        how = "dhcp4: true"
    else:
        how = f"addresses: [{card.address}]\n              routes:\n                - to: default\n"
        how += f"                  via: {card.gateway}"
    return (
        "etc/netplan/01-netcfg.yaml",
        f"""
        # This file describes the network interfaces available on your system
        # For more information, see netplan(5).
        network:
          version: 2
          renderer: networkd
          ethernets:
            {card.name}:
              {how}
              nameservers:
                addresses: [{card.resolver}]
        """,
    )


def _networkmanager(card: Card) -> tuple[str, str]:
    how = "method=auto" if card.address is None else f"method=manual\n        address1={card.address},{card.gateway}"
    return (
        "etc/NetworkManager/system-connections/wired.nmconnection",
        f"""
        [connection]
        id=wired
        uuid=5f1c3c0e-4c2f-4d58-9a43-6b2ad2f5d1aa
        type=ethernet
        interface-name={card.name}

        [ipv4]
        {how}
        dns={card.resolver};

        [ipv6]
        method=link-local
        """,
    )
