"""Which IP addresses a guest's card has, and who says so: the lease, else the host's neighbours, else the guest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from ipaddress import ip_interface
from typing import TypeAlias
from uuid import UUID

import libvirt

from kvmagent import libvirt_domains, links
from virtnet.facts import InterfaceAddress, NetworkFacts
from virtnet.libvirt_xml import parse
from virtnet.link_facts import AnyAddress, AnyInterface, Link

AGENT_CHANNEL = "org.qemu.guest_agent.0"
AGENT_SECONDS = 1  # a guest agent answers in milliseconds, or is stuck
AGENT_PAUSE_SECONDS = 300.0  # a stuck one is left alone for so long
MOST_OF_A_CARD = 256  # addresses that a guest may say of one card

_stuck_agents: dict[UUID, float] = {}  # domain -> when it may be asked again, by the monotonic clock


class GuestAddresses:
    """What leases and neighbours say at one moment."""

    ByMac: TypeAlias = dict[str, tuple[InterfaceAddress, ...]]

    def __init__(self, networks: Iterable[NetworkFacts], found_links: Iterable[Link]) -> None:
        self._subnets = [address for link in found_links for address in link.addresses]
        self._leases: dict[str, list[InterfaceAddress]] = {}
        for network in networks:
            for lease in network.leases:
                # A lease's prefix is that of the subnet that it was taken from.
                address = _with_prefix(lease.address, [*network.subnets, *self._subnets])
                found = InterfaceAddress(address=address, source="lease")
                self._leases.setdefault(lease.mac, []).append(found)
        self._neighbours = links.read_neighbours()

    def of(self, mac: str, agent: ByMac) -> tuple[InterfaceAddress, ...]:
        """The addresses of the card of this MAC address; `agent` is what the guest itself has told."""
        if leased := self._leases.get(mac):
            return tuple(leased)
        if seen := self._neighbours.get(mac):
            return tuple(
                InterfaceAddress(address=_with_prefix(address, self._subnets), source="arp") for address in seen
            )
        return agent.get(mac, ())

    def told_by_agent(self, domain: libvirt.virDomain, live_xml: str | None) -> ByMac:
        """What the guest agent says, where it is connected and the host does not know the addresses by itself."""
        if live_xml is None or not _agent_is_connected(live_xml):
            return {}
        macs = {libvirt_domains.mac(card) for card in libvirt_domains.cards(live_xml)}
        if macs <= self._leases.keys() | self._neighbours.keys():
            return {}
        uuid = libvirt_domains.uuid(domain)
        if _stuck_agents.get(uuid, 0.0) > time.monotonic():
            return {}
        try:
            domain.agentSetResponseTimeout(AGENT_SECONDS, 0)
            told = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, 0)
        except libvirt.libvirtError:
            _stuck_agents[uuid] = time.monotonic() + AGENT_PAUSE_SECONDS
            return {}
        return {(card["hwaddr"] or "").lower(): told_addresses(card["addrs"] or ()) for card in told.values()}


def told_addresses(addresses: Iterable[dict[str, str | int]]) -> tuple[InterfaceAddress, ...]:
    """Of one card, as libvirt hands on what the guest says. What is no address is left out: a guest that lies must hide
    neither itself nor, by very many of them, its host."""
    read = [address for said in addresses if (address := _address(said)) is not None]
    return tuple(
        InterfaceAddress(address=address, source="agent")
        for address in sorted(read, key=lambda one: (one.version, one.packed))[:MOST_OF_A_CARD]
    )


def _address(said: dict[str, str | int]) -> AnyInterface | None:
    """None for a link-local one, and for one with a zone, which may hold anything."""
    try:
        address = ip_interface(f"{said['addr']}/{said['prefix']}")
    except ValueError:
        return None
    return None if address.is_link_local or "%" in str(address) else address


def _agent_is_connected(live_xml: str) -> bool:
    return any(
        target.get("name") == AGENT_CHANNEL and target.get("state") == "connected"
        for target in parse(live_xml).findall("devices/channel/target")
    )


def _with_prefix(address: AnyAddress, subnets: Iterable[AnyInterface]) -> AnyInterface:
    """The address in the first subnet that holds it; alone (/32, /128) where none does."""
    for subnet in subnets:
        if subnet.version == address.version and address in subnet.network:
            return ip_interface(f"{address}/{subnet.network.prefixlen}")
    return ip_interface(address)
