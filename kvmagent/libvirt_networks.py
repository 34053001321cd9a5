"""libvirt's networks: functions named as libvirt names them, with types.

A network is found by its UUID; its name is for people. All raise libvirt.libvirtError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID
from xml.etree import ElementTree as ET

import libvirt

from virtnet.facts import Lease
from virtnet.refs import NetworkRef


@dataclass(frozen=True)
class States:
    """The UUIDs of the networks that are so at one moment."""

    active: frozenset[str]
    persistent: frozenset[str]
    autostart: frozenset[str]


def list_all(connection: libvirt.virConnect) -> list[libvirt.virNetwork]:
    networks: list[libvirt.virNetwork] = connection.listAllNetworks(0)
    return networks


def states(connection: libvirt.virConnect) -> States:
    """Three questions to libvirtd for all networks, instead of three for each of them."""

    def having(flag: int) -> frozenset[str]:
        return frozenset(network.UUIDString() for network in connection.listAllNetworks(flag))

    return States(
        active=having(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE),
        persistent=having(libvirt.VIR_CONNECT_LIST_NETWORKS_PERSISTENT),
        autostart=having(libvirt.VIR_CONNECT_LIST_NETWORKS_AUTOSTART),
    )


def lookup(connection: libvirt.virConnect, ref: NetworkRef) -> libvirt.virNetwork:
    return connection.networkLookupByUUIDString(str(ref.uuid))


def find(connection: libvirt.virConnect, ref: NetworkRef) -> libvirt.virNetwork | None:
    """The network of that UUID, None when there is none."""
    return _or_none(lambda: lookup(connection, ref))


def find_name(connection: libvirt.virConnect, name: str) -> libvirt.virNetwork | None:
    return _or_none(lambda: connection.networkLookupByName(name))


def define(connection: libvirt.virConnect, xml: str) -> libvirt.virNetwork:
    """Checked against libvirt's schema first."""
    return connection.networkDefineXMLFlags(xml, libvirt.VIR_NETWORK_DEFINE_VALIDATE)


def uuid(network: libvirt.virNetwork) -> UUID:
    return UUID(network.UUIDString())


def inactive_xml(network: libvirt.virNetwork, *, persistent: bool | None = None) -> str:
    """As it will be after its next start; of a transient network, as it runs. persistent: where it is known already."""
    if not (network.isPersistent() if persistent is None else persistent):
        return str(network.XMLDesc(0))
    try:
        return str(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:  # libvirt's test driver has no flags here
            raise
        return str(network.XMLDesc(0))


def leases(network: libvirt.virNetwork) -> tuple[Lease, ...]:
    """The DHCP leases of an active network, in the order of their addresses; none where the driver knows none."""
    try:
        found = network.DHCPLeases()
    except libvirt.libvirtError as error:
        # No support in the test driver; operation invalid when the network was stopped meanwhile.
        if error.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
            return ()
        raise
    read = [
        Lease(
            mac=(lease["mac"] or "").lower(),
            address=ip_address(lease["ipaddr"]),
            hostname=lease["hostname"] or "",
            expires_at=datetime.fromtimestamp(lease["expirytime"], UTC) if lease["expirytime"] else None,
        )
        for lease in found
    ]
    return tuple(sorted(read, key=lambda lease: (lease.address.version, int(lease.address), lease.mac)))


def replace_range(network: libvirt.virNetwork, old: ET.Element, new: ET.Element) -> None:
    """Swap the DHCP range of a running network: libvirt can add and delete ranges, not modify them."""
    _update_range(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, old)
    try:
        _update_range(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, new)
    except libvirt.libvirtError:
        # A running network without any range gets one only by a restart, which its guests may forbid.
        _update_range(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, old)
        raise


def _update_range(network: libvirt.virNetwork, command: int, range_: ET.Element) -> None:
    xml = ET.tostring(range_, encoding="unicode")
    section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE
    network.update(command, section, 0, xml, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE)


def _or_none(look: Callable[[], libvirt.virNetwork]) -> libvirt.virNetwork | None:
    try:
        return look()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            return None
        raise
