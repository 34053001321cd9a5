"""One card of one guest."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field

from virtnet.fields import MacAddress, WrittenName
from virtnet.text import gettext_noop


class InterfaceSpec(BaseModel):
    """A card plugged into a libvirt network. The panel chooses the MAC, so that an order sent twice is the same
    card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Annotated[WrittenName, Field(title=gettext_noop("Network"), min_length=1)]
    mac: Annotated[MacAddress, Field(title=gettext_noop("MAC address"))]
    model: Annotated[Literal["virtio", "e1000e", "e1000", "rtl8139"], Field(title=gettext_noop("Model"))] = "virtio"

    def libvirt_xml(self) -> str:
        """The <interface> for virDomainAttachDeviceFlags."""
        interface = ET.Element("interface", type="network")
        ET.SubElement(interface, "mac", address=self.mac)
        ET.SubElement(interface, "source", network=self.network)
        ET.SubElement(interface, "model", type=self.model)
        ET.indent(interface)
        return ET.tostring(interface, encoding="unicode")


def random_mac() -> str:
    """A MAC address from 52:54:00, the range that QEMU and libvirt use."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
