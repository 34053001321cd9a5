"""The protection of one card of a guest: libvirt's filter on it, and what may come in to it."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_http_methods

from hosts.models import Host
from networks import operations
from networks.card_forms import PORT_LINES, FilterForm, InboundForm, filter_values, inbound_values, stock_filters
from networks.protection import protection
from networks.views.asking import ask
from networks.views.guest import find_guest, load_host
from pages.requests import PanelRequest
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
    action = None
    if form.is_valid():
        action = SetInterfaceFilter(domain=domain.ref, mac=mac, filter=form.wanted)
    return ask(
        request,
        "networks/card_filter.html",
        form,
        action,
        facts,
        lambda asked: operations.set_interface_filter(host, domain, mac, asked.filter, by=user),
        {**_context(host, facts, domain, card), "stock": stock_filters(facts)},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def set_inbound_policy(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """What may come in to the card. POST with `step=preview` only checks."""
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain, card = _find(host, uuid, mac)
    form = InboundForm(request.POST or None, initial=inbound_values(protection(facts, domain, card).policy))
    action = None
    if form.is_valid():
        action = SetInboundPolicy(domain=domain.ref, mac=mac, policy=form.policy)
    return ask(
        request,
        "networks/card_inbound.html",
        form,
        action,
        facts,
        lambda asked: operations.set_inbound_policy(host, domain, mac, asked.policy, by=user),
        {**_context(host, facts, domain, card), "examples": PORT_LINES, "not_covered": NOT_COVERED},
    )


def _find(host: Host, uuid: UUID, mac: str) -> tuple[HostFacts, DomainFacts, InterfaceFacts]:
    facts, domain = find_guest(host, uuid)
    card = domain.card(mac)
    if card is None:
        raise Http404
    return facts, domain, card


def _context(host: Host, facts: HostFacts, domain: DomainFacts, card: InterfaceFacts) -> dict[str, object]:
    return {"host": host, "guest": domain, "card": card, "protection": protection(facts, domain, card)}
