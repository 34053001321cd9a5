"""Writing and reading libvirt's <network> documents.

Written in the order of libvirt's formatnetwork page; read leniently, because libvirt accepts far more than the panel
writes.
"""

from __future__ import annotations

from uuid import UUID
from xml.etree import ElementTree as ET

from virtnet.refs import NetworkRef

# The mark of ownership: a network that carries it was made by the panel, and the spec inside says as what.
NAMESPACE = "urn:kvmpanel:network:1"
ET.register_namespace("kvmpanel", NAMESPACE)


def new_network(ref: NetworkRef, spec_json: str) -> ET.Element:
    """<network> with <name>, <uuid> and the panel's <metadata>."""
    network = ET.Element("network")
    ET.SubElement(network, "name").text = ref.name
    ET.SubElement(network, "uuid").text = str(ref.uuid)
    metadata = ET.SubElement(network, "metadata")
    ET.SubElement(metadata, f"{{{NAMESPACE}}}spec").text = spec_json
    return network


def to_xml(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def spec_in(network: ET.Element) -> str | None:
    """The JSON in the panel's metadata; None for a network that the panel did not make."""
    spec = network.find(f"metadata/{{{NAMESPACE}}}spec")
    return spec.text if spec is not None else None


def uuid_in(network: ET.Element) -> UUID | None:
    """The <uuid>, None where libvirt has not given one yet."""
    written = network.findtext("uuid")
    return UUID(written.strip()) if written else None
