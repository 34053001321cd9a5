"""MAC addresses over the whole fleet: guests move and LANs span hosts, so each is given once."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from hosts.models import Host
from networks.models import OPEN_STATES, Change, VmInterface
from virtnet.interface import random_mac


def free_mac() -> str:
    """A MAC address that no guest of the fleet has and no open change gives to one."""
    while True:
        mac = random_mac()
        if not VmInterface.objects.filter(mac=mac).exists() and not _attaching(mac).exists():
            return mac


def holder(mac: str, *, other_than: tuple[Host, UUID]) -> VmInterface | Change | None:
    """The card, or the open change for a card, that has this address in another guest than that of this host."""
    host, domain = other_than
    card = VmInterface.objects.filter(mac=mac).exclude(host=host, domain_uuid=domain).select_related("host").first()
    change = _attaching(mac).exclude(host=host, domain_uuid=domain).select_related("host").first()
    return card or change


def _attaching(mac: str) -> QuerySet[Change]:
    return Change.objects.filter(state__in=OPEN_STATES, action__action="attach-interface", action__interface__mac=mac)
