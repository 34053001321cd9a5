"""What a person asks for about the VFs of a card of the host."""

from __future__ import annotations

from django.db import transaction

from hosts.models import Host
from networks.models import Change
from networks.operations.request import check_mac_is_free, lock_host, request
from team.models import User
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes


@transaction.atomic
def set_numvfs(host: Host, pf: str, numvfs: int, *, by: User) -> Change:
    """Asks for another number of VFs on a PF."""
    return request(lock_host(host, by), SetNumvfs(pf=pf, numvfs=numvfs), by=by, network=None)


@transaction.atomic
def set_vf_attributes(host: Host, pf: str, vf: int, attributes: VfAttributes, *, by: User) -> Change:
    """Asks for other attributes of one VF. Its MAC address, too, is given once in the whole fleet."""
    locked = lock_host(host, by)
    if attributes.mac is not None:
        check_mac_is_free(locked, None, attributes.mac)
    return request(locked, SetVfAttributes(pf=pf, vf=vf, attributes=attributes), by=by, network=None)
