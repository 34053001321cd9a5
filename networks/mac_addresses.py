"""MAC addresses over the whole fleet: guests move and LANs span hosts, so each is given once."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from hosts.models import Host
from networks.models import OPEN_STATES, Change, VfMac, VmInterface
from virtnet.interface import random_mac
from virtnet.text import Text, text


def free_mac() -> str:
    """A MAC address that no guest and no VF of the fleet has, and that no open change gives to one."""
    while True:
        mac = random_mac()
        if not any(rows.exists() for rows in (_cards(mac), VfMac.objects.filter(mac=mac), _being_given(mac))):
            return mac


def holder(mac: str, *, other_than: tuple[Host, UUID | None]) -> Text | None:
    """Who has this address already, or is being given it: a sentence, None when nobody has.

    other_than: the host and its guest for which it is wanted; None for a VF of that host. What else there is on that
    very host the action itself knows from its facts.
    """
    host, domain = other_than
    own = Q(host=host) if domain is None else Q(host=host, domain_uuid=domain)
    owner = _cards(mac).exclude(own).first() or _being_given(mac).exclude(own).first()
    if owner is not None and owner.domain_name:
        about = {"mac": mac, "guest": owner.domain_name, "host": owner.host.name}
        return text("%(mac)s is a card of %(guest)s on %(host)s already.", **about)
    if owner is not None:
        return text("%(mac)s is being given to a VF on %(host)s.", mac=mac, host=owner.host.name)
    vf = VfMac.objects.filter(mac=mac).exclude(host=host).select_related("host").first()
    if vf is None:
        return None
    return text(
        "%(mac)s belongs to VF %(vf)s of %(pf)s on %(host)s.", mac=mac, vf=vf.index, pf=vf.pf, host=vf.host.name
    )


def _cards(mac: str) -> QuerySet[VmInterface]:
    return VmInterface.objects.filter(mac=mac).select_related("host")


def _being_given(mac: str) -> QuerySet[Change]:
    attached = Q(action__action="attach-interface", action__interface__mac=mac)
    paired = Q(action__action="attach-pair", action__mac=mac)
    set_on_a_vf = Q(action__action="set-vf-attributes", action__attributes__mac=mac)
    return Change.objects.filter(attached | paired | set_on_a_vf, state__in=OPEN_STATES).select_related("host")
