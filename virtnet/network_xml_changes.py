"""What separates two documents of one network: nothing, its DHCP range, or more than a running network can take."""

from __future__ import annotations

import copy
from typing import Literal
from xml.etree import ElementTree as ET

from virtnet.libvirt_xml import parse
from virtnet.modes import read_spec
from virtnet.network_xml import spec_in

RANGE = "ip/dhcp/range"


def holds(found_xml: str, wanted_xml: str) -> bool:
    """Whether libvirt's document says all that the wanted one says: the panel's spec, and each element.

    libvirt adds to a document (MAC address, defaults), and so do people; neither makes it another network.
    """
    found, wanted = parse(found_xml), parse(wanted_xml)
    spec, wanted_spec = read_spec(spec_in(found) or ""), read_spec(spec_in(wanted) or "")
    return spec == wanted_spec and _within(_bare(wanted), _bare(found))


def change(live_xml: str, next_xml: str) -> Literal["nothing", "range", "restart"]:
    """What it takes to bring a running network to its document for the next start."""
    live, following = _bare(parse(live_xml)), _bare(parse(next_xml))
    if _canonical(live) == _canonical(following):
        return "nothing"
    # libvirt starts dnsmasq on a network's first range only when the network starts.
    if live.find(RANGE) is not None and following.find(RANGE) is not None:
        for document in (live, following):
            for dhcp in document.findall("ip/dhcp"):
                for one in dhcp.findall("range"):
                    dhcp.remove(one)
        if _canonical(live) == _canonical(following):
            return "range"
    return "restart"


def range_in(xml: str) -> ET.Element:
    """The DHCP range of a document of which `change` has said "range"."""
    found = parse(xml).find(RANGE)
    if found is None:
        raise ValueError("no DHCP range")
    return found


def with_mac_of(former_xml: str, wanted_xml: str) -> str:
    """The wanted document with the former one's MAC address of the bridge, unless it names one itself.

    libvirt draws another at each definition: guests would see another gateway, and Windows another network.
    """
    mac, wanted = parse(former_xml).find("mac"), parse(wanted_xml)
    if mac is None or wanted.find("mac") is not None:
        return wanted_xml
    wanted.append(mac)
    return ET.tostring(wanted, encoding="unicode")


def _bare(network: ET.Element) -> ET.Element:
    """Without what libvirt fills in by itself or counts, and without metadata, which changes no packet's way."""
    bare = copy.deepcopy(network)
    bare.attrib.pop("connections", None)
    for element in bare.iter("interface"):
        element.attrib.pop("connections", None)
    for tag in ("metadata", "mac", "uuid"):
        for element in bare.findall(tag):
            bare.remove(element)
    return bare


def _canonical(element: ET.Element) -> str:
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), strip_text=True)


def _within(wanted: ET.Element, found: ET.Element) -> bool:
    same = wanted.tag == found.tag and (wanted.text or "").strip() == (found.text or "").strip()
    return (
        same
        and wanted.attrib.items() <= found.attrib.items()
        and all(any(_within(child, other) for other in found.findall(child.tag)) for child in wanted)
    )
