"""One network: what it is, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from networks import operations
from networks.models import OPEN_STATES, Change, ChangeState, Network
from networks.preview import preview, spec_of
from networks.views.change import listed
from pages.requests import PanelRequest
from team.models import User
from team.permissions import check_may_change, may_change, visible
from virtnet.actions import Action, DestroyNetwork, SetNetworkAutostart, StartNetwork, UndefineNetwork
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts

SECTION = "hosts"
FACTS_SECONDS = 5  # from a change's end until the facts after it are here


@dataclass(frozen=True)
class Intent:
    """What is about to be done with a network: `button` says it, `note` what it means, `operate` asks for it."""

    action: Action
    button: str
    note: str
    operate: Callable[[User], Change]
    danger: bool = False


@require_safe
def network(request: PanelRequest, pk: UUID) -> HttpResponse:
    found = _load(request.user, pk)
    host_facts = found.host.read_facts()
    facts = found.read_facts()
    spec = found.read_spec()
    changes = list(listed(found.changes.all())[:20])
    context = {
        "section": SECTION,
        "network": found,
        "host": found.host,
        "host_facts": host_facts,
        "drift": [] if _was_changed_just_now(changes) else found.drift(host_facts),
        "facts": facts,
        "spec": spec.as_found(host_facts) if spec is not None else spec_of(facts) if facts is not None else None,
        "plugged": _plugged(host_facts, found.name),
        "changes": changes,
        "open_change": listed(found.changes.filter(state__in=OPEN_STATES)).first(),
        # Of the whole host: whatever changes its links may be put back with this network on them.
        "armed": listed(found.host.changes.filter(state=ChangeState.ARMED)).first(),
        "may_change": may_change(request.user) and found.host.is_active and found.removed_at is None,
    }
    template = "networks/network.html#body" if request.htmx else "networks/network.html"
    return render(request, template, context)


@require_http_methods(["GET", "HEAD", "POST"])
def start_network(request: PanelRequest, pk: UUID) -> HttpResponse:
    found = _load(request.user, pk)
    intent = Intent(
        action=StartNetwork(network=found.ref),
        button=gettext("Start"),
        note=gettext("Guests plugged into it can use it from then on."),
        operate=lambda user: operations.start_network(found, by=user),
    )
    return _confirm(request, found, intent)


@require_http_methods(["GET", "HEAD", "POST"])
def destroy_network(request: PanelRequest, pk: UUID) -> HttpResponse:
    found = _load(request.user, pk)
    intent = Intent(
        action=DestroyNetwork(network=found.ref),
        button=gettext("Stop"),
        note=gettext("The network stays defined and can be started again. Its guests lose their connection."),
        operate=lambda user: operations.destroy_network(found, by=user),
        danger=True,
    )
    return _confirm(request, found, intent)


@require_http_methods(["GET", "HEAD", "POST"])
def set_network_autostart(request: PanelRequest, pk: UUID, autostart: bool) -> HttpResponse:
    found = _load(request.user, pk)
    intent = Intent(
        action=SetNetworkAutostart(network=found.ref, autostart=autostart),
        button=gettext("Start with the host") if autostart else gettext("Do not start with the host"),
        note=gettext("Nothing changes for guests that run now; it counts from the host's next start."),
        operate=lambda user: operations.set_network_autostart(found, autostart, by=user),
    )
    return _confirm(request, found, intent)


@require_http_methods(["GET", "HEAD", "POST"])
def undefine_network(request: PanelRequest, pk: UUID) -> HttpResponse:
    found = _load(request.user, pk)
    spec = found.read_spec()
    if spec is None:
        raise Http404  # a foreign network is never taken away by the panel
    intent = Intent(
        action=UndefineNetwork(network=found.ref, spec=spec),
        button=gettext("Undefine"),
        note=gettext("The network is stopped and taken off the host. Its history stays here."),
        operate=lambda user: operations.undefine_network(found, by=user),
        danger=True,
    )
    return _confirm(request, found, intent)


def _confirm(request: PanelRequest, network: Network, intent: Intent) -> HttpResponse:
    """GET says what will happen; POST asks for it and goes to the change."""
    user = check_may_change(request.user)
    facts = network.host.read_facts()
    seen = preview(intent.action, facts)
    problems = seen.problems
    if request.method == "POST":
        try:
            return redirect("change", pk=intent.operate(user).pk)
        except operations.OperationRefused as refused:
            problems = list(refused.problems)
    context = {
        "section": SECTION,
        "host": network.host,
        "network": network,
        "intent": intent,
        "title": intent.action.title(),
        "preview": seen,
        "problems": problems,
        "plugged": _plugged(facts, network.name),
        "back": network,
    }
    return render(request, "networks/confirm_network.html", context)


def _was_changed_just_now(changes: list[Change]) -> bool:
    """Facts come a moment after the word that a change has ended: until then they are those of before."""
    since = timezone.now() - timedelta(seconds=FACTS_SECONDS)
    return any(change.is_open or (change.finished_at is not None and change.finished_at > since) for change in changes)


def _load(user: User | AnonymousUser, pk: UUID) -> Network:
    return get_object_or_404(visible(Network.objects.select_related("host"), user), pk=pk)


def _plugged(facts: HostFacts, name: str) -> list[tuple[DomainFacts, InterfaceFacts]]:
    """The guests' cards that are on the network of this name."""
    return [
        (guest, card)
        for guest in facts.domains
        for card in guest.interfaces
        if card.type == "network" and card.source == name
    ]
