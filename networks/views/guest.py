"""One guest of a host: its cards, a card more, a card less."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from hosts.models import Host
from networks import operations
from networks.card_forms import stock_filters
from networks.cards import cards_of, second_card
from networks.forms import AttachForm
from networks.found import made_since
from networks.models import Change
from networks.offers import described, offers
from networks.preview import preview, spec_of, spec_of_card
from networks.protection import protections
from networks.views.asking import ask
from networks.views.change import listed
from pages.requests import PanelRequest
from team.models import User
from team.permissions import check_may_change, may_change, visible
from virtnet import direct
from virtnet.actions import AttachInterface, DetachInterface
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts
from virtnet.interface import Teaming
from virtnet.vf_pair import DetachVfOfPair

SECTION = "hosts"


@require_safe
def guest(request: PanelRequest, name: str, uuid: UUID) -> HttpResponse:
    host = load_host(request.user, name)
    facts = host.read_facts()
    domain = facts.domain(uuid)
    changes = visible(listed(Change.objects.filter(host=host, domain_uuid=uuid)), request.user)
    if domain is None:
        if not changes.exists():
            raise Http404
        gone = {"section": SECTION, "host": host, "name": changes[0].domain_name, "changes": changes[:20]}
        return render(request, "networks/guest_gone.html", gone)
    cards = cards_of(host, facts, domain)
    may = may_change(request.user) and host.is_active
    lacking = second_card(facts, cards)
    context = {
        "section": SECTION,
        "host": host,
        "guest": domain,
        "cards": cards,
        "lacking": lacking,
        "mac": operations.free_mac() if may and lacking is not None and lacking.networks else "",
        "protections": protections(facts, domain),
        "changes": changes[:20],
        "may_change": may,
    }
    template = "networks/guest.html#body" if request.htmx else "networks/guest.html"
    return render(request, template, context)


@require_http_methods(["GET", "HEAD", "POST"])
def attach_interface(request: PanelRequest, name: str, uuid: UUID) -> HttpResponse:
    """A card more. `?source=` chooses beforehand; POST with `step=preview` only checks."""
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain = find_guest(host, uuid)
    begin = {"mac": operations.free_mac(), "model": "virtio", "source": request.GET.get("source", "")}
    form = AttachForm(facts, request.POST or None, initial=begin)
    action = None
    if form.is_valid() and form.interface is not None:
        action = AttachInterface(domain=domain.ref, interface=form.interface)
    context = {
        "host": host,
        "guest": domain,
        "networks": [(f"network:{network.name}", network, spec_of(network)) for network in facts.networks],
        "awaited": made_since(host),
        "chosen": form["source"].value(),
        "stock": stock_filters(facts),
        **_links(facts, domain, form),
    }
    return ask(
        request,
        "networks/attach.html",
        form,
        action,
        facts,
        lambda asked: operations.attach_interface(host, domain, asked.interface, by=user),
        context,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def detach_interface(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """Says what unplugging means, then asks for it."""
    return _detach(request, name, uuid, mac, None)


@require_http_methods(["GET", "HEAD", "POST"])
def detach_vf_of_pair(request: PanelRequest, name: str, uuid: UUID, mac: str) -> HttpResponse:
    """The same for the VF of a pair alone: the guest goes on over the virtio card."""
    return _detach(request, name, uuid, mac, "transient")


def _detach(request: PanelRequest, name: str, uuid: UUID, mac: str, half: Teaming | None) -> HttpResponse:
    host = load_host(request.user, name)
    user = check_may_change(request.user)
    facts, domain = find_guest(host, uuid)
    card = find_card(domain, mac, half)
    action = DetachVfOfPair(domain=domain.ref, mac=mac) if half else DetachInterface(domain=domain.ref, mac=mac)
    operate = operations.detach_vf_of_pair if half else operations.detach_interface
    seen = preview(action, facts)
    problems = seen.problems
    if request.method == "POST":
        try:
            return redirect("change", pk=operate(host, domain, mac, by=user).pk)
        except operations.OperationRefused as refused:
            problems = list(refused.problems)
    context = {
        "section": SECTION,
        "host": host,
        "guest": domain,
        "card": card,
        "title": action.title(),
        "preview": seen,
        "problems": problems,
        "other_half_stays": half is not None,
    }
    return render(request, "networks/detach.html", context)


def _links(facts: HostFacts, domain: DomainFacts, form: AttachForm) -> dict[str, object]:
    """The host's links for a card straight on one: offered or not, by the source mode that is chosen."""
    card = (domain.uuid, form["mac"].value())
    mode = form.source_mode
    found = offers(facts, facts.uplinks, lambda link: direct.in_the_way(facts, link, mode, field="source", card=card))
    kind, _colon, name = (form["source"].value() or "").partition(":")
    names = found.names if kind != "direct" or name in found.names else (*found.names, name)
    like = InterfaceFacts(mac="", type="direct", source_mode=mode)
    return {
        "links": [(f"direct:{name}", described(facts, name)) for name in names],
        "withheld": found.withheld,
        "by_link": spec_of_card(facts, like),
    }


def load_host(user: User | AnonymousUser, name: str) -> Host:
    return get_object_or_404(visible(Host.objects.all(), user), name=name)


def find_guest(host: Host, uuid: UUID) -> tuple[HostFacts, DomainFacts]:
    facts = host.read_facts()
    domain = facts.domain(uuid)
    if domain is None:
        raise Http404
    return facts, domain


def find_card(domain: DomainFacts, mac: str, half: Teaming | None = None) -> InterfaceFacts:
    """half: of a pair, whose two have one MAC address."""
    halves = (card for card in domain.interfaces if (card.mac, card.teaming) == (mac, half))
    card = domain.card(mac) if half is None else next(halves, None)
    if card is None or not card.has_a_mac:
        raise Http404
    return card
