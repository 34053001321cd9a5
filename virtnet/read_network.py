"""From libvirt's <network> document to NetworkFacts: which of the five modes it is, or what else it is."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID
from xml.etree import ElementTree as ET

from virtnet import network_xml
from virtnet.facts import Lease, NetworkFacts
from virtnet.libvirt_xml import parse_beginning
from virtnet.modes import MODES, read_spec
from virtnet.spec import NetworkSpec

NO_UUID = UUID(int=0)  # of a document that was not defined yet; libvirt gives each network that it defines a UUID

# The limits of ForeignName and NetworkFacts.xml. libvirt has none, and a name of 3,000 letters must not hide the host.
LONGEST_NAME = 1024
LONGEST_XML = 100_000


def read(xml: str, *, active: bool, persistent: bool, autostart: bool, leases: Sequence[Lease] = ()) -> NetworkFacts:
    """What a network is, from its XMLDesc. Takes whatever libvirt accepts; longer names and documents than facts hold
    are cut.

    libvirt does not escape each name that it writes: where that breaks the document, what stands before is read.
    Raises ET.ParseError for what is no XML at all.
    """
    network = parse_beginning(xml)
    name = network.findtext("name", "")
    spec = _spec_of_the_panel(network, name)
    bridge = network_xml.bridge_in(network)
    return NetworkFacts(
        name=name[:LONGEST_NAME],
        uuid=_uuid(network),
        active=active,
        persistent=persistent,
        autostart=autostart,
        mode=spec.mode if spec is not None else _mode(network),
        bridge=bridge[:LONGEST_NAME] if bridge is not None else None,
        devs=tuple(dev[:LONGEST_NAME] for dev in network_xml.devs_in(network)),
        pfs=tuple(pf[:LONGEST_NAME] for pf in network_xml.pfs_in(network)),
        vfs=network_xml.vfs_in(network),
        vlan=network_xml.vlan_in(network),
        subnets=network_xml.addresses_in(network),
        leases=tuple(leases),
        spec=spec.model_dump_json() if spec is not None else None,
        xml=xml[:LONGEST_XML],
    )


def _spec_of_the_panel(network: ET.Element, name: str) -> NetworkSpec | None:
    written = network_xml.spec_in(network)
    spec = read_spec(written) if written else None
    # A network that somebody copied with its metadata under a new name is not the panel's.
    return spec if spec is not None and spec.name == name else None


def _mode(network: ET.Element) -> str:
    for mode, kind in MODES.items():
        if kind.matches(network):
            return mode
    return network_xml.forward_mode(network) or ""


def _uuid(network: ET.Element) -> UUID:
    try:
        return network_xml.uuid_in(network) or NO_UUID
    except ValueError:
        return NO_UUID
