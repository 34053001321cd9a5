"""What a network that libvirt serves itself (NAT, host-only) has: its bridge, the host's address, leases, the <ip>."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated
from xml.etree import ElementTree as ET

from pydantic import Field

from virtnet.fields import LinkName
from virtnet.text import SpecError, gettext_noop, text

BridgeToMake = Annotated[
    LinkName, Field(title=gettext_noop("Bridge"), description=gettext_noop("libvirt makes it, e.g. virbr1."))
]
FirstLease = Annotated[IPv4Address | None, Field(title=gettext_noop("First lease"))]
LastLease = Annotated[IPv4Address | None, Field(title=gettext_noop("Last lease"))]


def check_range(
    address: IPv4Interface, first: IPv4Address | None, last: IPv4Address | None, *, address_field: str
) -> None:
    """Raises SpecError, at its field, for an address or a range of leases that cannot be."""
    network = address.network
    if not 8 <= network.prefixlen <= 30:
        raise SpecError(text("Use a prefix from /8 to /30, such as /24."), field=address_field)
    # 0.0.0.0/8 means "this network", 224.0.0.0/3 is multicast and what nobody may use.
    if address.is_loopback or address.is_link_local or not 0 < address.packed[0] < 224:
        raise SpecError(
            text("%(address)s cannot be the address of a network.", address=address.ip), field=address_field
        )
    if address.ip in (network.network_address, network.broadcast_address):
        raise SpecError(
            text("%(address)s is not a host's address in %(subnet)s.", address=address.ip, subnet=network),
            field=address_field,
        )
    if (first is None) != (last is None):
        raise SpecError(
            text("Give both ends of the range, or neither."), field="last_lease" if last is None else "first_lease"
        )
    if first is None or last is None:
        return
    for end, field in ((first, "first_lease"), (last, "last_lease")):
        if end not in network:
            raise SpecError(text("%(address)s is not in %(subnet)s.", address=end, subnet=network), field=field)
        if end in (network.network_address, network.broadcast_address):
            raise SpecError(
                text("%(address)s is not a host's address in %(subnet)s.", address=end, subnet=network), field=field
            )
    if first > last:
        raise SpecError(text("The range ends before it starts."), field="last_lease")
    if first <= address.ip <= last:
        raise SpecError(
            text("The range holds the host's own address %(address)s.", address=address.ip), field="first_lease"
        )


def ip_element(address: IPv4Interface, first: IPv4Address | None, last: IPv4Address | None) -> ET.Element:
    """libvirt's <ip>, with <dhcp> where there is a range."""
    ip = ET.Element("ip", address=str(address.ip), prefix=str(address.network.prefixlen))
    if first is not None and last is not None:
        ET.SubElement(ET.SubElement(ip, "dhcp"), "range", start=str(first), end=str(last))
    return ip
