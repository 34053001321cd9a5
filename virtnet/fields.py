"""Named field types, each with its rule. The panel offers the right choices, the agent gets checked values.

The rules are stricter than libvirt's own, which accepts a network called `..` or `a\\nb`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from virtnet.text import SpecError, gettext_noop, text


@dataclass(frozen=True)
class Offered:
    """The form offers what this attribute of HostFacts lists (names of links)."""

    facts: str


def _link_name(name: str) -> str:
    # `.` and `..` would be paths under /sys/class/net.
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise SpecError(text("A link's name starts with a letter or digit and holds only letters, digits, _ . and -."))
    # The kernel's IFNAMSIZ is 16 with the closing NUL.
    if len(name) > 15:
        raise SpecError(text("%(name)s is longer than 15 characters, the kernel's limit for a link.", name=name))
    # Both are directories of /proc/sys/net/ipv4/conf already.
    if name in {"all", "default"}:
        raise SpecError(text("The kernel keeps the name %(name)s for itself.", name=name))
    return name


def _network_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise SpecError(
            text("Use 1 to 31 small letters, digits and hyphens, starting with a letter, such as office-lab.")
        )
    return name


def _mac_address(mac: str) -> str:
    mac = mac.lower().replace("-", ":")
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac):
        raise SpecError(text("A MAC address is six pairs of hexadecimal digits, such as 52:54:00:12:34:56."))
    if int(mac[:2], 16) & 1:
        raise SpecError(text("%(mac)s is a multicast address; a card needs one whose first byte is even.", mac=mac))
    if mac == "00:00:00:00:00:00":
        raise SpecError(text("A card cannot have the MAC address 00:00:00:00:00:00."))
    return mac


def _vf_address(address: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", address):
        raise SpecError(text("A VF's PCI address is written such as 0000:5e:02.1."))
    return address


def _filter_name(name: str) -> str:
    # libvirt's schema wants an XML name without a colon here.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
        raise SpecError(text("A filter's name starts with a letter and holds only letters, digits, _ . and -."))
    return name


def _fits_xml(name: str) -> str:
    # XML 1.0 cannot hold these, not even as &#1;.
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", name):
        raise SpecError(text("The name holds a character that no XML document can hold."))
    return name


LinkName = Annotated[str, AfterValidator(_link_name)]
Uplink = Annotated[LinkName, Offered("uplinks")]
PF = Annotated[LinkName, Offered("pfs")]
VfAddress = Annotated[str, AfterValidator(_vf_address), Offered("vf_addresses")]
NetworkName = Annotated[str, Field(title=gettext_noop("Name")), AfterValidator(_network_name)]
FilterName = Annotated[str, Field(title=gettext_noop("Filter"), max_length=255), AfterValidator(_filter_name)]
VlanTag = Annotated[int, Field(ge=1, le=4094)]
MacAddress = Annotated[str, AfterValidator(_mac_address)]

# What a foreign thing is called: anything that libvirt accepts. It is shown and compared, never used as a path or a
# command.
ForeignName = Annotated[str, Field(max_length=1024)]

# What a network, a guest or a link is itself called: neither libvirt nor the kernel has one without a name.
OwnName = Annotated[ForeignName, Field(min_length=1)]

# A foreign name that we write into a document for libvirt, e.g. the network that a card is plugged into.
WrittenName = Annotated[ForeignName, AfterValidator(_fits_xml)]


def offered_by(annotation_metadata: tuple[Any, ...]) -> str | None:
    """The HostFacts attribute that a field's metadata offers, or None when anything may be typed."""
    return next((mark.facts for mark in annotation_metadata if isinstance(mark, Offered)), None)
