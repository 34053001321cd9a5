"""The protection of one card of a guest: libvirt's filter on it, and what may come in to it."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from hosts.models import Host
from kvmpanel.requests import PanelRequest
from networks import operations
from networks.card_forms import PORT_LINES, FilterForm, InboundForm, filter_values, inbound_values, stock_filters
from networks.preview import preview
from networks.protection import protection
from networks.views.guest import SECTION, add_problems, find_guest, guest_ref, load_host
from team.permissions import check_may_change
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.inbound import NOT_COVERED


@require_http_methods(["GET", "HEAD", "POST"])
def set_filter(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """libvirt's filter on the card. POST with `step=preview` only checks."""
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain, card = _find(host, uuid, mac)
    form = FilterForm(facts, request.POST or None, initial=filter_values(card))
    seen = None
    if request.method == "POST" and form.is_valid():
        seen = preview(SetInterfaceFilter(domain=guest_ref(domain), mac=mac, filter=form.wanted), facts)
        add_problems(form, seen.problems)
        if form.is_valid() and not _only_looks(request):
            try:
                change = operations.set_interface_filter(host, domain, mac, form.wanted, by=user)
            except operations.OperationRefused as refused:
                add_problems(form, refused.problems)
            else:
                return redirect("change", pk=change.pk)
    context = {
        **_context(host, facts, domain, card),
        "form": form,
        "stock": stock_filters(facts),
        "preview": seen,
    }
    template = "networks/card_filter.html#card" if request.htmx else "networks/card_filter.html"
    return render(request, template, context)


@require_http_methods(["GET", "HEAD", "POST"])
def set_inbound_policy(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """What may come in to the card. POST with `step=preview` only checks."""
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain, card = _find(host, uuid, mac)
    form = InboundForm(request.POST or None, initial=inbound_values(protection(facts, domain, card).policy))
    seen = None
    if request.method == "POST" and form.is_valid():
        seen = preview(SetInboundPolicy(domain=guest_ref(domain), mac=mac, policy=form.policy), facts)
        add_problems(form, seen.problems)
        if form.is_valid() and not _only_looks(request):
            try:
                change = operations.set_inbound_policy(host, domain, mac, form.policy, by=user)
            except operations.OperationRefused as refused:
                add_problems(form, refused.problems)
            else:
                return redirect("change", pk=change.pk)
    context = {
        **_context(host, facts, domain, card),
        "form": form,
        "examples": PORT_LINES,
        "not_covered": NOT_COVERED,
        "preview": seen,
    }
    template = "networks/card_inbound.html#card" if request.htmx else "networks/card_inbound.html"
    return render(request, template, context)


def _find(host: Host, uuid: UUID, mac: str) -> tuple[HostFacts, DomainFacts, InterfaceFacts]:
    facts, domain = find_guest(host, uuid)
    card = domain.card(mac)
    if card is None:
        raise Http404
    return facts, domain, card


def _only_looks(request: PanelRequest) -> bool:
    return request.POST.get("step") == "preview" or bool(request.htmx)


def _context(host: Host, facts: HostFacts, domain: DomainFacts, card: InterfaceFacts) -> dict[str, object]:
    return {
        "section": SECTION,
        "host": host,
        "facts": facts,
        "guest": domain,
        "card": card,
        "protection": protection(facts, domain, card),
    }
