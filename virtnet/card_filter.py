"""libvirt's network filter (nwfilter) on one card: what the guest may say who it is.

The filters are the host's own; libvirt keeps their rules on the card's tap, through each restart of the guest.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field, field_validator

from virtnet.fields import FilterName, MacAddress
from virtnet.text import SpecError, Text, gettext_noop, text

# What libvirt fills in by itself: the card's MAC address, and the IP address that it sees the guest use first.
KNOWN_TO_LIBVIRT = frozenset({"MAC", "IP"})

# What the filters that come with libvirt do; in the order in which they are offered.
STOCK: dict[str, Text] = {
    "clean-traffic": text(
        "The guest speaks IPv4 and ARP only, with its own MAC and IP address. IPv6 does not get through."
    ),
    "clean-traffic-gateway": text(
        "The same, and only with its gateway: it reaches no other machine of the LAN directly."
    ),
    "no-mac-spoofing": text("The guest cannot send with another MAC address."),
    "no-ip-spoofing": text("The guest cannot send with another IPv4 address."),
    "no-ipv6-spoofing": text("The guest cannot send with another IPv6 address."),
    "no-arp-spoofing": text("The guest cannot claim another's MAC or IP address by ARP."),
}


class CardFilter(BaseModel):
    """A <filterref> of a card, with the variables that the filters of libvirt know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FilterName
    addresses: Annotated[
        tuple[IPv4Address | IPv6Address, ...], Field(title=gettext_noop("Guest's addresses"), max_length=32)
    ] = ()
    gateway_mac: Annotated[MacAddress | None, Field(title=gettext_noop("Gateway's MAC address"))] = None
    dhcp_server: Annotated[IPv4Address | None, Field(title=gettext_noop("DHCP server"))] = None

    @field_validator("addresses")
    @classmethod
    def addresses_have_no_zone(
        cls, addresses: tuple[IPv4Address | IPv6Address, ...]
    ) -> tuple[IPv4Address | IPv6Address, ...]:
        for address in addresses:
            if "%" in str(address):
                raise SpecError(text("%(address)s: write the address without a zone.", address=address))
        return addresses

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """libvirt's variables with their values, e.g. (("IP", "10.0.0.5"), ("GATEWAY_MAC", "52:54:00:00:00:01"))."""
        found = [("IP" if address.version == 4 else "IPV6", str(address)) for address in self.addresses]
        if self.gateway_mac is not None:
            found.append(("GATEWAY_MAC", self.gateway_mac))
        if self.dhcp_server is not None:
            found.append(("DHCPSERVER", str(self.dhcp_server)))
        return tuple(found)

    def element(self) -> ET.Element:
        """The <filterref> for a card's XML."""
        reference = ET.Element("filterref", filter=self.name)
        for name, value in self.parameters():
            ET.SubElement(reference, "parameter", name=name, value=value)
        return reference

    def xml(self) -> str:
        """The same as text, for people."""
        reference = self.element()
        ET.indent(reference)
        return ET.tostring(reference, encoding="unicode")
