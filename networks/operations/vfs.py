"""What a person asks for about the VFs of a card of the host."""

from __future__ import annotations

from django.db import transaction

from hosts.models import Host
from networks.models import Change
from networks.operations.request import lock_host, request
from team.models import User
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes


@transaction.atomic
def set_numvfs(host: Host, pf: str, numvfs: int, *, by: User) -> Change:
    """Asks for another number of VFs on a PF."""
    return request(lock_host(host, by), SetNumvfs(pf=pf, numvfs=numvfs), by=by, network=None)


@transaction.atomic
def set_vf_attributes(host: Host, pf: str, vf: int, attributes: VfAttributes, *, by: User) -> Change:
    """Asks for other attributes of one VF."""
    return request(lock_host(host, by), SetVfAttributes(pf=pf, vf=vf, attributes=attributes), by=by, network=None)
