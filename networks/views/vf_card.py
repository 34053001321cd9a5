"""A VF of the host for one guest, alone or paired with a virtio card."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from networks import operations
from networks.models import Change
from networks.vf_forms import GiveVfForm
from networks.views.asking import ask
from networks.views.guest import find_guest, load_host
from pages.requests import PanelRequest
from team.permissions import check_may_change
from virtnet import sriov_needs
from virtnet.actions import AttachInterface
from virtnet.vf_ledger import ledger
from virtnet.vf_pair import AttachPair


@require_http_methods(["GET", "HEAD", "POST"])
def give_vf(request: PanelRequest, name: str, uuid: UUID) -> HttpResponse:
    """`?vf=` chooses beforehand; POST with `step=preview` only checks."""
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain = find_guest(host, uuid)
    begin = {"mac": operations.free_mac(), "vf": request.GET.get("vf", "")}
    form = GiveVfForm(facts, request.POST or None, initial=begin)
    context = {
        "host": host,
        "guest": domain,
        "free": [(pf.pf, row) for pf in ledger(facts) for row in pf.rows if row.is_free],
        "missing": sriov_needs.missing(facts),
    }

    template, action = "networks/give_vf.html", form.action(domain.ref)
    if isinstance(action, AttachPair):

        def pair(asked: AttachPair) -> Change:
            return operations.attach_pair(host, domain, asked.vf, asked.network, asked.mac, by=user)

        return ask(request, template, form, action, facts, pair, context)

    def alone(asked: AttachInterface) -> Change:
        return operations.attach_interface(host, domain, asked.interface, by=user)

    return ask(request, template, form, action, facts, alone, context)
