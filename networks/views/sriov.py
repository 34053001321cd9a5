"""A host's PFs and VFs: the ledger, another number of VFs, the attributes of one."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from hosts.models import Host
from networks import operations
from networks.models import Network
from networks.vf_forms import NumvfsForm, VfForm
from networks.views.asking import ask
from pages.requests import PanelRequest
from team.models import User
from team.permissions import check_may_change, may_change, visible
from virtnet import sriov_needs, vf_checks
from virtnet.facts import HostFacts
from virtnet.link_facts import Link
from virtnet.vf_actions import SetNumvfs, SetVfAttributes
from virtnet.vf_ledger import ledger, pf_row

SECTION = "hosts"


@require_safe
def sriov(request: PanelRequest, name: str) -> HttpResponse:
    """The ledger: PF -> VF -> guest, wanted against actual; what this host lacks where it lacks something."""
    host = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    facts = host.read_facts()
    context = {
        "section": SECTION,
        "host": host,
        "facts": facts,
        "ledger": ledger(facts),
        "missing": sriov_needs.missing(facts),
        "pages": dict(Network.objects.filter(host=host, removed_at=None).values_list("name", "pk")),
        "may_change": may_change(request.user) and host.is_active,
    }
    return render(request, "networks/sriov.html#body" if request.htmx else "networks/sriov.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def set_numvfs(request: PanelRequest, name: str, pf: str) -> HttpResponse:
    """Another number of VFs. POST with `step=preview` only checks."""
    host, user, facts, link = _load(request, name, pf)
    form = NumvfsForm(link, request.POST or None)
    action = None
    if form.is_valid():
        action = SetNumvfs(pf=link.name, numvfs=form.cleaned_data["numvfs"])
    return ask(
        request,
        "networks/numvfs.html",
        form,
        action,
        facts,
        lambda asked: operations.set_numvfs(host, link.name, asked.numvfs, by=user),
        {"host": host, "row": pf_row(facts, link), "beforehand": vf_checks.carrier_goes(facts, link.name)},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def set_vf_attributes(request: PanelRequest, name: str, pf: str, vf: int) -> HttpResponse:
    """The attributes of one VF. POST with `step=preview` only checks."""
    host, user, facts, link = _load(request, name, pf)
    row = next((row for row in pf_row(facts, link).rows if row.vf.index == vf), None)
    if row is None:
        raise Http404
    form = VfForm(request.POST or None, row.vf.wanted)
    action = None
    if form.is_valid() and form.attributes is not None:
        action = SetVfAttributes(pf=link.name, vf=vf, attributes=form.attributes)
    return ask(
        request,
        "networks/vf.html",
        form,
        action,
        facts,
        lambda asked: operations.set_vf_attributes(host, link.name, vf, asked.attributes, by=user),
        {"host": host, "pf": link, "row": row},
    )


def _load(request: PanelRequest, name: str, pf: str) -> tuple[Host, User, HostFacts, Link]:
    host = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    user = check_may_change(request.user)
    facts = host.read_facts()
    link = facts.link(pf)
    if link is None or not link.totalvfs:
        raise Http404
    return host, user, facts, link
