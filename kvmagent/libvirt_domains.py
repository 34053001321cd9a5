"""libvirt's domains and their cards: functions named as libvirt names them, with types.

A domain is found by its UUID, a card by its MAC address. All raise libvirt.libvirtError.
"""

from __future__ import annotations

import copy
import threading
from typing import Literal
from uuid import UUID
from xml.etree import ElementTree as ET

import libvirt

from virtnet import network_xml
from virtnet.interface import Teaming
from virtnet.libvirt_xml import parse
from virtnet.refs import DomainRef

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG

# A guest that is up lets go of a card in well under a second; one that is booting or hangs never does.
UNPLUG_SECONDS = 20.0

STATES = {  # as `virsh list --all` says them
    libvirt.VIR_DOMAIN_NOSTATE: "no state",
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "idle",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "in shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "pmsuspended",
}


Half = Teaming | Literal["any"]


class StillPlugged(Exception):
    """The guest did not let go of its card in time, or refused to."""


def list_all(connection: libvirt.virConnect) -> list[libvirt.virDomain]:
    domains: list[libvirt.virDomain] = connection.listAllDomains(0)
    return domains


def find(connection: libvirt.virConnect, ref: DomainRef) -> libvirt.virDomain | None:
    """The domain of that UUID, None when there is none."""
    try:
        return connection.lookupByUUIDString(str(ref.uuid))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def uuid(domain: libvirt.virDomain) -> UUID:
    return UUID(domain.UUIDString())


def state(domain: libvirt.virDomain) -> str:
    """running, shut off, paused …"""
    return STATES.get(domain.state(0)[0], "no state")


def live_xml(domain: libvirt.virDomain) -> str | None:
    """As it runs; None when it does not."""
    return str(domain.XMLDesc(0)) if domain.isActive() else None


def inactive_xml(domain: libvirt.virDomain) -> str | None:
    """As it will be after its next start; None for a transient domain."""
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)) if domain.isPersistent() else None


def machine(xml: str) -> str:
    """pc-q35-7.2, pc-i440fx-7.2 …; "" where the domain's XML tells none."""
    found = parse(xml).find("os/type") if xml else None
    return "" if found is None else found.get("machine", "")


def cards(xml: str | None) -> list[ET.Element]:
    """The <interface> elements of a domain's XML, in order."""
    return [] if xml is None else parse(xml).findall("devices/interface")


def mac(card: ET.Element) -> str:
    found = card.find("mac")
    return "" if found is None else found.get("address", "").lower()


def source(card: ET.Element) -> str | None:
    """The network, bridge, link or PCI address that a card is plugged into."""
    found = card.find("source")
    if found is None:
        return None
    named = {"network": "network", "bridge": "bridge", "direct": "dev"}.get(card.get("type", ""))
    if named:
        return found.get(named)
    return vf(card) or found.get("dev")


def vf(card: ET.Element) -> str | None:
    """The PCI address of the VF that a card is; None for a card of another kind, and for one that has none yet."""
    address = card.find("source/address")
    if card.get("type") != "hostdev" or address is None:
        return None
    return network_xml.pci_address(address)


def teaming(card: ET.Element) -> Teaming | None:
    """Which half of a pair a card is, None for a card on its own."""
    said = card.find("teaming")
    if said is None:
        return None
    return "transient" if said.get("type") == "transient" else "persistent"


def source_mode(card: ET.Element) -> str | None:
    """Of a card straight on a link: bridge, vepa, private or passthrough."""
    found = card.find("source")
    return found.get("mode") if found is not None and card.get("type") == "direct" else None


def own_link(card: ET.Element) -> str | None:
    """The link that a running guest's card has for itself; a network may have handed it out."""
    return source(card) if source_mode(card) == "passthrough" else None


def where(card: ET.Element) -> tuple[str, str | None, str | None]:
    """Where a card is plugged in: its type, source and source mode, as InterfaceFacts has them."""
    return card.get("type", ""), source(card), source_mode(card)


def target(card: ET.Element) -> str | None:
    """The link on the host that the card hangs on, e.g. vnet3."""
    found = card.find("target")
    return None if found is None else found.get("dev")


def is_of_a_pool(card: ET.Element, other: ET.Element) -> bool:
    """Whether `card`, plugged in now, is a VF that a network handed out, and `other` what it will be: libvirt shows the
    running guest's VF alone, no longer the network."""
    return (
        (card.get("type"), other.get("type")) == ("hostdev", "network")
        and mac(card) == mac(other)
        and teaming(card) == teaming(other)
    )


def card_of(
    domain: libvirt.virDomain, mac_address: str, *, affect: int, half: Half | None = "any"
) -> ET.Element | None:
    """The card of that MAC address, plugged in now (LIVE) or after the next start (CONFIG).

    half: the halves of a pair have one MAC address; None for a card on its own.
    """
    xml = live_xml(domain) if affect == LIVE else inactive_xml(domain)
    found = (card for card in cards(xml) if mac(card) == mac_address)
    return next((card for card in found if half == "any" or teaming(card) == half), None)


def scopes(domain: libvirt.virDomain) -> list[int]:
    """Where a change of this domain belongs: LIVE when it runs, CONFIG when it is persistent."""
    return [affect for affect, there in ((LIVE, domain.isActive()), (CONFIG, domain.isPersistent())) if there]


def plugged_into(connection: libvirt.virConnect, network_name: str) -> list[str]:
    """The names of the running guests with a card on the network, sorted."""
    return sorted(
        domain.name()
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        if any(
            card.get("type") == "network" and source(card) == network_name
            for card in [*cards(live_xml(domain)), *_of_pools(domain)]
        )
    )


def _of_pools(domain: libvirt.virDomain) -> list[ET.Element]:
    """What the VFs that networks gave this running guest are on, see is_of_a_pool."""
    live = cards(live_xml(domain))
    return [card for card in cards(inactive_xml(domain)) if any(is_of_a_pool(now, card) for now in live)]


def attach_device(domain: libvirt.virDomain, xml: str, *, affect: int) -> None:
    domain.attachDeviceFlags(xml, affect)


def update_device(domain: libvirt.virDomain, card: ET.Element, *, affect: int) -> None:
    """Bring a card to this document. While the guest runs, libvirt takes only some changes: the filter, the link …"""
    domain.updateDeviceFlags(ET.tostring(card, encoding="unicode"), affect)


def set_metadata(domain: libvirt.virDomain, xml: str | None, *, key: str, uri: str, affect: int) -> None:
    """The panel's own element in the domain's <metadata>; None takes it away."""
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, xml, key, uri, affect)


def filterref(card: ET.Element) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """The network filter of a card, and its parameters in order."""
    found = card.find("filterref")
    if found is None:
        return None
    parameters = tuple((one.get("name", ""), one.get("value", "")) for one in found.findall("parameter"))
    return found.get("filter", ""), parameters


def with_filterref(card: ET.Element, wanted: ET.Element | None) -> ET.Element:
    """The same card with another <filterref>, or without one."""
    changed = copy.deepcopy(card)
    for former in changed.findall("filterref"):
        changed.remove(former)
    if wanted is not None:
        changed.append(wanted)
    return changed


def detach_device(domain: libvirt.virDomain, card: ET.Element, *, affect: int) -> None:
    """Unplug a card; of a running guest, wait until the guest has let go of it.

    Raises StillPlugged when the guest does not within UNPLUG_SECONDS, or says no.
    """
    xml = ET.tostring(card, encoding="unicode")
    if affect != LIVE:
        domain.detachDeviceFlags(xml, affect)
        return
    connection, address, half = domain.connect(), mac(card), teaming(card)
    alias = card.find("alias")
    answered, refused = threading.Event(), threading.Event()

    def removed(_connection: object, _domain: object, device: str, _opaque: object) -> None:
        if alias is None or device == alias.get("name"):
            answered.set()

    def removal_failed(_connection: object, _domain: object, device: str, _opaque: object) -> None:
        if alias is None or device == alias.get("name"):
            refused.set()
            answered.set()

    events = [
        connection.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, removed, None),
        connection.domainEventRegisterAny(
            domain, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, removal_failed, None
        ),
    ]
    try:
        domain.detachDeviceFlags(xml, affect)
        answered.wait(UNPLUG_SECONDS)
    finally:
        for event in events:
            connection.domainEventDeregisterAny(event)
    if refused.is_set() or card_of(domain, address, affect=LIVE, half=half) is not None:
        raise StillPlugged


def new_card_xml(card: ET.Element) -> str:
    """A card as it was, without what libvirt chooses anew at each plugging (tap, alias, PCI slot, port). An alias that
    begins with `ua-` is the user's: the other half of a pair names it."""
    fresh = copy.deepcopy(card)
    for chosen in ("target", "alias", "address"):
        for element in fresh.findall(chosen):
            if not element.get("name", "").startswith("ua-"):
                fresh.remove(element)
    if fresh.get("type") == "network":
        for element in fresh.findall("source"):
            for port in ("portid", "bridge", "dev", "mode"):
                element.attrib.pop(port, None)
    return ET.tostring(fresh, encoding="unicode")
