"""A VF of the host for one guest, alone or paired with a virtio card."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from kvmpanel.requests import PanelRequest
from networks import operations
from networks.preview import preview
from networks.vf_forms import GiveVfForm
from networks.views.guest import find_guest, load_host
from team.permissions import check_may_change
from virtnet import sriov_needs
from virtnet.vf_ledger import ledger

SECTION = "hosts"


@require_http_methods(["GET", "HEAD", "POST"])
def give_vf(request: PanelRequest, name: str, uuid: UUID) -> HttpResponse:
    """`?vf=` chooses beforehand; POST with `step=preview` only checks."""
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain = find_guest(host, uuid)
    begin = {"mac": operations.free_mac(), "vf": request.GET.get("vf", "")}
    form = GiveVfForm(facts, request.POST or None, initial=begin)
    seen = None
    if form.is_valid() and form.source is not None:
        source, mac = form.source, form.cleaned_data["mac"]
        seen = preview(operations.vf_for(domain, source, mac, pair_in=form.pair_in), facts)
        form.add_problems(seen.problems)
        if form.is_valid() and request.POST.get("step") != "preview" and not request.htmx:
            try:
                change = operations.give_vf(host, domain, source, mac, pair_in=form.pair_in, by=user)
            except operations.OperationRefused as refused:
                form.add_problems(refused.problems)
            else:
                return redirect("change", pk=change.pk)
    context = {
        "section": SECTION,
        "host": host,
        "guest": domain,
        "form": form,
        "free": [(pf.pf, row) for pf in ledger(facts) for row in pf.rows if row.is_free],
        "missing": sriov_needs.missing(facts),
        "preview": seen,
    }
    return render(request, "networks/give_vf.html#ask" if request.htmx else "networks/give_vf.html", context)
