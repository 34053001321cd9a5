"""The protection of one card of a guest: libvirt's filter on it, and what may come in to it."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from hosts.models import Host
from networks import operations
from networks.card_forms import PORT_LINES, FilterForm, InboundForm, filter_values, inbound_values, stock_filters
from networks.models import Change
from networks.protection import protection
from networks.views.asking import ask
from networks.views.guest import find_card, find_guest, load_host
from pages.requests import PanelRequest
from team.models import User
from team.permissions import check_may_change
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.inbound import NOT_COVERED

TEMPLATE = "networks/card.html"


@require_http_methods(["GET", "HEAD", "POST"])
def set_filter(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """libvirt's filter on the card. POST with `step=preview` only checks."""
    host, user, facts, guest, card = _load(request, name, uuid, mac)
    form = FilterForm(facts, request.POST or None, initial=filter_values(card))
    action = SetInterfaceFilter(domain=guest.ref, mac=mac, filter=form.wanted) if form.is_valid() else None
    context = {
        **_context(host, facts, guest, card),
        "heading": gettext("Network filter"),
        "about": gettext("Whom the guest may pretend to be"),
        "fields": "parts/filter_fields.html",
        "stock": stock_filters(facts),
    }

    def operate(asked: SetInterfaceFilter) -> Change:
        return operations.set_interface_filter(host, guest, mac, asked.filter, by=user)

    return ask(request, TEMPLATE, form, action, facts, operate, context)


@require_http_methods(["GET", "HEAD", "POST"])
def set_inbound_policy(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """What may come in to the card. POST with `step=preview` only checks."""
    host, user, facts, guest, card = _load(request, name, uuid, mac)
    form = InboundForm(request.POST or None, initial=inbound_values(protection(facts, guest, card).policy))
    action = SetInboundPolicy(domain=guest.ref, mac=mac, policy=form.policy) if form.is_valid() else None
    context = {
        **_context(host, facts, guest, card),
        "heading": gettext("What may come in"),
        "about": gettext("To this card"),
        "fields": "parts/inbound_fields.html",
        "examples": PORT_LINES,
        "not_covered": NOT_COVERED,
    }

    def operate(asked: SetInboundPolicy) -> Change:
        return operations.set_inbound_policy(host, guest, mac, asked.policy, by=user)

    return ask(request, TEMPLATE, form, action, facts, operate, context)


def _load(
    request: PanelRequest, name: str, uuid: UUID, mac: str
) -> tuple[Host, User, HostFacts, DomainFacts, InterfaceFacts]:
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, guest = find_guest(host, uuid)
    return host, user, facts, guest, find_card(guest, mac)


def _context(host: Host, facts: HostFacts, guest: DomainFacts, card: InterfaceFacts) -> dict[str, object]:
    return {"host": host, "guest": guest, "card": card, "protection": protection(facts, guest, card)}
