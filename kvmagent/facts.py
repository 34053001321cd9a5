"""Reading HostFacts. Everything is sorted and nothing in it changes by itself, so that the digest tells a change.

libvirtd may be down, may restart in the middle, and may hold documents that nobody foresaw: facts are read all the
same.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from weakref import WeakKeyDictionary
from xml.etree import ElementTree as ET

import libvirt

from kvmagent import (
    __version__,
    arming,
    filtering,
    libvirt_domains,
    libvirt_networks,
    libvirt_nwfilters,
    links,
    sriov,
    vf_restore,
    vfs,
)
from kvmagent.guest_addresses import GuestAddresses
from kvmagent.libvirt_connection import Libvirt, LibvirtDown, dotted
from kvmagent.persist import bridge as lasting
from kvmagent.persist.configuration import read_masked
from kvmagent.way_to_panel import way_to_panel
from virtnet import inbound, network_xml, read_network
from virtnet.facts import (
    DomainFacts,
    FilterFacts,
    HostFacts,
    InboundFacts,
    InterfaceFacts,
    Lease,
    NetworkFacts,
    Versions,
)
from virtnet.libvirt_xml import parse
from virtnet.link_facts import Link
from virtnet.plan import firewall_ruleset
from virtnet.text import Text, text

log = logging.getLogger(__name__)

Found = TypeVar("Found")
GONE = (libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_NO_DOMAIN)
DOCUMENTS_KEPT = 512  # of networks: read once, as long as nothing in them changes

NO_VERSIONS = Versions()


@dataclass(frozen=True)
class LibvirtFacts:
    """The part of the facts that libvirtd tells."""

    versions: Versions = NO_VERSIONS
    networks: tuple[NetworkFacts, ...] = ()
    domains: tuple[DomainFacts, ...] = ()
    filters: tuple[FilterFacts, ...] = ()


# What each connection told when it last answered: shown, with the error, while libvirtd is down.
_last_known: WeakKeyDictionary[Libvirt, LibvirtFacts] = WeakKeyDictionary()


def read_facts(libvirt: Libvirt) -> HostFacts:
    """All that the panel knows about this host. Never raises for a libvirtd that is down, nor for odd XML.

    While libvirtd is down `libvirt_error` says so, and networks and domains are the last known of this process.
    """
    found_links = vfs.with_vfs(links.read_links())
    found_routes = links.read_routes(found_links)
    told, error = _ask(libvirt, found_links)
    facts = HostFacts(
        hostname=socket.gethostname(),
        versions=told.versions.model_copy(update={"kernel": os.uname().release, "kvmagent": __version__}),
        iommu=sriov.iommu(),
        vfio=sriov.vfio(),
        cpu=sriov.cpu_vendor(),
        vfs_restored=vf_restore.read(),
        libvirt_error=error,
        links=found_links,
        routes=found_routes,
        rules=links.read_rules(),
        way_to_panel=way_to_panel(),
        networks=told.networks,
        domains=told.domains,
        filters=told.filters,
        filtering=filtering.read(
            found_links, found_routes, firewall_ruleset(HostFacts(networks=told.networks)) if error is None else None
        ),
        confirm_seconds=arming.confirm_seconds(),
    )
    return facts.model_copy(update={"configurations": read_masked(["", *facts.uplinks]), "lasting": lasting.read_all()})


def read_networks(connection: libvirt.virConnect, *, leases: bool = True) -> tuple[NetworkFacts, ...]:
    """All networks, by name; without their leases where nobody looks at them. Raises libvirt.libvirtError."""
    # Each order reads them all. With many networks the questions to libvirtd are what takes the time: two for each.
    listed, states = libvirt_networks.list_all(connection), libvirt_networks.states(connection)
    found = _each(listed, lambda network: _network(network, states, leases=leases))
    return tuple(sorted(found, key=lambda network: (network.name, network.uuid)))


def _ask(libvirt: Libvirt, found_links: tuple[Link, ...]) -> tuple[LibvirtFacts, Text | None]:
    try:
        told = _told(libvirt, found_links)
    except LibvirtDown as error:
        return _last_known.get(libvirt, LibvirtFacts()), error.text
    _last_known[libvirt] = told
    return told, None


def _told(shared: Libvirt, found_links: tuple[Link, ...]) -> LibvirtFacts:
    """Asked twice: libvirtd may have restarted since the last question, which only the question shows."""
    try:
        return _read(shared.connection(), found_links)
    except libvirt.libvirtError as error:
        log.info("libvirtd broke off, asking again: %s", error)
    try:
        return _read(shared.connection(), found_links)
    except libvirt.libvirtError as error:
        raise LibvirtDown(
            text("libvirtd at %(uri)s broke off: %(error)s. Look at its log.", uri=shared.uri, error=str(error))
        ) from error


def _read(connection: libvirt.virConnect, found_links: tuple[Link, ...]) -> LibvirtFacts:
    networks = read_networks(connection)
    addresses = GuestAddresses(networks, found_links)
    judged = filtering.judged()
    by_name = {network.name: network for network in networks}
    domains = _each(libvirt_domains.list_all(connection), lambda domain: _domain(domain, addresses, judged, by_name))
    return LibvirtFacts(
        versions=_versions(connection),
        networks=networks,
        domains=tuple(sorted(domains, key=lambda domain: (domain.name, domain.uuid))),
        filters=libvirt_nwfilters.list_all(connection),
    )


def _versions(connection: libvirt.virConnect) -> Versions:
    # After an upgrade libvirtd tries QEMU out before it answers this, and any question about a domain: some seconds.
    qemu = ""
    if connection.getType() == "QEMU":
        try:
            qemu = dotted(connection.getVersion())
        except libvirt.libvirtError as error:
            # No emulator is installed: no guest can run, and the networks are there all the same.
            if error.get_error_code() != libvirt.VIR_ERR_INTERNAL_ERROR:
                raise
    return Versions(libvirt=dotted(connection.getLibVersion()), qemu=qemu)


def _each(objects: list[libvirt.virNetwork | libvirt.virDomain], read: Callable[..., Found]) -> list[Found]:
    """What each says about itself. One that vanished meanwhile, or that cannot be read, does not hide the others."""
    found = []
    for one in objects:
        try:
            found.append(read(one))
        except libvirt.libvirtError as error:
            if error.get_error_code() not in GONE:
                raise
        except (ET.ParseError, ValueError) as error:
            log.warning("%s cannot be read: %s", one.name(), error)
    return found


def _network(network: libvirt.virNetwork, states: libvirt_networks.States, *, leases: bool) -> NetworkFacts:
    uuid = network.UUIDString()
    active, persistent = uuid in states.active, uuid in states.persistent
    return _read_network(
        libvirt_networks.inactive_xml(network, persistent=persistent),
        active,
        persistent,
        persistent and uuid in states.autostart,
        libvirt_networks.leases(network) if leases and active else (),
    )


@lru_cache(maxsize=DOCUMENTS_KEPT)
def _read_network(xml: str, active: bool, persistent: bool, autostart: bool, leases: tuple[Lease, ...]) -> NetworkFacts:
    return read_network.read(xml, active=active, persistent=persistent, autostart=autostart, leases=leases)


def _domain(
    domain: libvirt.virDomain, addresses: GuestAddresses, judged: frozenset[str], networks: Mapping[str, NetworkFacts]
) -> DomainFacts:
    live, inactive = libvirt_domains.live_xml(domain), libvirt_domains.inactive_xml(domain)
    agent = addresses.told_by_agent(domain, live)
    return DomainFacts(
        name=domain.name()[: read_network.LONGEST_NAME],
        uuid=libvirt_domains.uuid(domain),
        state=libvirt_domains.state(domain),
        persistent=inactive is not None,
        machine=libvirt_domains.machine(live or inactive or ""),
        interfaces=tuple(
            _interface(card, live=is_live, following=following, addresses=addresses, agent=agent)
            for card, is_live, following in _cards(live, inactive, networks)
        ),
        inbound=tuple(
            InboundFacts(mac=mac, policy=policy, loaded=inbound.chain(mac) in judged)
            for mac, policy in sorted(inbound.policies_in(parse(live or inactive or "")).items())
        ),
    )


def _cards(
    live: str | None, inactive: str | None, networks: Mapping[str, NetworkFacts]
) -> list[tuple[ET.Element, bool, ET.Element | None]]:
    """Each card with whether it is plugged in now, and with what it will be after the next start. A card that changes
    at the next start is two."""
    waiting = libvirt_domains.cards(inactive)
    found: list[tuple[ET.Element, bool, ET.Element | None]] = []
    for card in libvirt_domains.cards(live):
        same = next((other for other in waiting if _same(card, other, networks)), None)
        if same is not None:
            waiting.remove(same)
        found.append((card, True, same))
    return found + [(card, False, card) for card in waiting]


def _same(card: ET.Element, other: ET.Element, networks: Mapping[str, NetworkFacts]) -> bool:
    """Whether a card of the running guest is that one of its next start."""
    if libvirt_domains.mac(card) != libvirt_domains.mac(other):
        return False
    if libvirt_domains.where(card) == libvirt_domains.where(other):
        return True
    # libvirt shows a running guest's bridge, link or VF, no longer the network that it comes from.
    if other.get("type") != "network":
        return False
    if card.get("type") == "hostdev":
        return libvirt_domains.is_of_a_pool(card, other)
    network = networks.get(libvirt_domains.source(other) or "")
    return network is not None and network.is_shown_as(card.get("type", ""), libvirt_domains.source(card))


def _interface(
    card: ET.Element,
    *,
    live: bool,
    following: ET.Element | None,
    addresses: GuestAddresses,
    agent: GuestAddresses.ByMac,
) -> InterfaceFacts:
    mac = libvirt_domains.mac(card)
    named = card if following is None else following
    model, link = card.find("model"), card.find("link")
    kind, source, source_mode = libvirt_domains.where(named)
    bears, parameters = libvirt_domains.filterref(card) or (None, ())
    return InterfaceFacts(
        mac=mac,
        type=kind,
        source=source,
        source_mode=source_mode,
        target=libvirt_domains.target(card) if live else None,
        vf=libvirt_domains.vf(card),
        own_link=libvirt_domains.own_link(card) if live else None,
        vlan=network_xml.vlan_in(card),
        teaming=libvirt_domains.teaming(card),
        model=model.get("type") if model is not None else None,
        link_up=link is None or link.get("state") != "down",
        live=live,
        persistent=following is not None,
        addresses=addresses.of(mac, agent) if live else (),
        filter=bears,
        filter_parameters=parameters,
    )
