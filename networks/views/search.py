"""Where in the fleet something is: a guest, a network or a host, by a part of its name, MAC or IP address."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hosts.models import Host
from networks.models import Guest, Network, VmInterface
from pages.requests import PanelRequest
from team.permissions import check_may_look, visible_of_each

SECTION = "hosts"
LONGEST = 200
MOST = 50  # of each kind


@require_safe
def search(request: PanelRequest) -> HttpResponse:
    """From the rows alone, as the overview is: no host is asked."""
    check_may_look(request.user)
    term = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]
    context: dict[str, object] = {"section": SECTION, "term": term, "most": MOST}
    if term:
        kinds = {
            "hosts": Host.objects.defer("facts").filter(name__icontains=term),
            "networks": _networks(term),
            "cards": _cards(term),
            "without": _guests_without_a_card(term),
        }
        found = visible_of_each(kinds, request.user)
        context |= {kind: rows[:MOST] for kind, rows in found.items()}
    return render(request, "networks/search.html", context)


def _networks(term: str) -> QuerySet[Network]:
    named = Network.objects.filter(removed_at=None, name__icontains=term)
    return named.select_related("host").defer("host__facts", "facts", "spec").order_by("name", "host__name")


def _cards(term: str) -> QuerySet[VmInterface]:
    about = (
        Q(domain_name__icontains=term) | Q(mac__icontains=term.replace("-", ":")) | Q(facts__addresses__icontains=term)
    )
    return VmInterface.objects.filter(about).select_related("host").defer("host__facts")


def _guests_without_a_card(term: str) -> QuerySet[Guest]:
    cards = VmInterface.objects.filter(host=OuterRef("host"), domain_uuid=OuterRef("uuid"))
    named = Guest.objects.filter(~Exists(cards), name__icontains=term)
    return named.select_related("host").defer("host__facts")
