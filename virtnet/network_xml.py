"""Writing and reading libvirt's <network> documents.

Written in the order of libvirt's formatnetwork page; read leniently, because libvirt accepts far more than the panel
writes.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from uuid import UUID
from xml.etree import ElementTree as ET

from virtnet.libvirt_xml import parse_beginning
from virtnet.link_facts import AnyInterface
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


def forward_mode(network: ET.Element) -> str | None:
    """libvirt's own forward mode; None for an isolated network."""
    forward = network.find("forward")
    if forward is None:
        return None
    # <forward/> without a mode is nat to libvirt, and its word for "no <forward>" is none.
    mode = forward.get("mode", "nat")
    return None if mode == "none" else mode


def forward_mode_of(xml: str) -> str | None:
    """The same of a document as text; None also where that cannot be read."""
    try:
        return forward_mode(parse_beginning(xml))
    except ET.ParseError:
        return None


def bridge_in(network: ET.Element) -> str | None:
    """The bridge that a network names; None where it names none (libvirt writes <bridge stp='on'/> too)."""
    bridge = network.find("bridge")
    return bridge.get("name") or None if bridge is not None else None


def devs_in(network: ET.Element) -> tuple[str, ...]:
    """The links that <forward> names, each once: its dev, its <interface>s, its <pf>. VFs listed by PCI <address> have
    no name."""
    named = [
        element.get("dev")
        for path in ("forward", "forward/interface", "forward/pf")
        for element in network.findall(path)
    ]
    return tuple(dict.fromkeys(dev for dev in named if dev))


def pfs_in(network: ET.Element) -> tuple[str, ...]:
    """The PFs whose VFs a network hands out, to guests themselves or by macvtap passthrough."""
    return tuple(dict.fromkeys(dev for pf in network.findall("forward/pf") if (dev := pf.get("dev"))))


def vfs_in(network: ET.Element) -> tuple[str, ...]:
    """The VFs that <forward mode='hostdev'> lists by PCI address, e.g. ("0000:5e:02.1",); empty where it names a
    PF."""
    found = (pci_address(address) for address in network.findall("forward/address"))
    return tuple(dict.fromkeys(address for address in found if address is not None))


def pci_address(address: ET.Element) -> str | None:
    """0000:5e:02.1, of libvirt's <address type='pci' domain= bus= slot= function=>; None for what is none."""
    if address.get("type", "pci") != "pci":
        return None
    try:
        domain, bus, slot, function = (int(address.get(key, "0"), 0) for key in ("domain", "bus", "slot", "function"))
    except ValueError:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def add_pci_address(parent: ET.Element, address: str) -> None:
    """0000:5e:02.1 as libvirt's <address type='pci'>."""
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    written = ET.SubElement(parent, "address", type="pci")
    for key, value in (("domain", domain), ("bus", bus), ("slot", slot), ("function", function)):
        written.set(key, f"0x{value}")


def vlan_in(element: ET.Element) -> int | None:
    """The one tag of a network's or a card's <vlan>; None for none, and for a trunk of many."""
    tags = element.findall("vlan/tag")
    if len(tags) != 1 or not tags[0].get("id", "").isdecimal():
        return None
    return int(tags[0].get("id", ""))


def addresses_in(network: ET.Element) -> tuple[AnyInterface, ...]:
    """The host's addresses on a network. What Python cannot hold (a netmask with holes) is left out."""
    found = (_address(ip) for ip in network.findall("ip"))
    return tuple(address for address in found if address is not None)


def _address(ip: ET.Element) -> AnyInterface | None:
    try:
        address = ip_address(ip.get("address", ""))
        width = ip.get("netmask") or ip.get("prefix") or _default_prefix(address)
        return ip_interface(f"{address}/{width}")
    except ValueError:
        return None


def _default_prefix(address: IPv4Address | IPv6Address) -> int:
    """What libvirt takes where neither prefix nor netmask is given (virSocketAddrGetIPPrefix): /64, or the class."""
    if isinstance(address, IPv6Address):
        return 64
    first = address.packed[0]
    return 8 if first < 128 else 16 if first < 192 else 24
