"""The fleet, one host, and how a host comes and goes."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hosts import operations
from hosts.enrolment import TOKEN_MINUTES
from hosts.fleet import fleet, totals
from hosts.forms import HostForm
from hosts.models import Host, HostStatus
from pages.refused import OperationRefused, say
from pages.requests import PanelRequest
from team.permissions import check_may_change, check_may_look, may_change, visible
from virtnet.surprises import surprises
from virtnet.vf_ledger import ledger

SECTION = "hosts"
ARMED = "armed"  # networks.models.ChangeState.ARMED
OPEN = ("queued", "sent", "running", "armed")  # networks.models.OPEN_STATES, which stands above this app


@require_safe
def overview(request: PanelRequest) -> HttpResponse:
    """All hosts, from the rows alone: no host is asked, so a dead one slows nothing."""
    check_may_look(request.user)
    search = request.GET.get("search", "").strip()
    visible_hosts = visible(Host.objects.all(), request.user)
    rows = fleet(visible_hosts)
    found = [row for row in rows if search.lower() in f"{row.host.name} {row.host.shown_status}".lower()]
    context = {
        "section": SECTION,
        "rows": found,
        "totals": totals(rows),
        "armed": visible_hosts.filter(changes__state=ARMED).values_list("name", "changes__pk").order_by("name"),
        "search": search,
        "may_change": may_change(request.user),
    }
    template = "hosts/overview.html#fleet" if request.htmx else "hosts/overview.html"
    return render(request, template, context)


@require_safe
def host(request: PanelRequest, name: str) -> HttpResponse:
    """What one host has: links, networks, guests. A host that is not in service yet shows its enrolment."""
    found = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    if found.status in {HostStatus.WAITING, HostStatus.PENDING}:
        return redirect("enrolment", name=found.name)
    networks = found.networks.filter(removed_at=None)
    changing = set(found.changes.filter(state__in=OPEN).values_list("network", flat=True))
    facts = found.read_facts()
    rows = [(one, one.read_facts(), one.pk in changing, one.drift(facts)) for one in networks]
    context = {
        "section": SECTION,
        "host": found,
        "facts": facts,
        "surprises": surprises(facts),
        "ledger": ledger(facts),
        "networks": rows,
        "guests_on": _guests_on(found),
        "changes": found.changes.select_related("by").defer("steps", "problems", "before", "after")[:5],
        "armed": _waiting(found),
        "may_change": may_change(request.user) and found.is_active,
    }
    template = "hosts/host.html#body" if request.htmx else "hosts/host.html"
    return render(request, template, context)


def _waiting(host: Host) -> object:
    """The change that waits for its confirmation, without what may be megabytes."""
    armed = host.changes.filter(state=ARMED).select_related("host")
    return armed.defer("host__facts", "steps", "problems", "before", "after").first()


def _guests_on(host: Host) -> dict[str, int]:
    """How many cards of guests are plugged into each network, by its name."""
    counts: dict[str, int] = {}
    for name in host.interfaces.filter(~Q(network_name="")).values_list("network_name", flat=True):
        counts[name] = counts.get(name, 0) + 1
    return counts


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def add_host(request: PanelRequest) -> HttpResponse:
    user = check_may_change(request.user)
    form = HostForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            added, token = operations.add_host(form.cleaned_data["name"], by=user)
        except OperationRefused as refused:
            form.add_problems(refused.problems)
        else:
            return _show_command(request, added, token)
    return render(request, "hosts/add.html", {"section": SECTION, "form": form})


@never_cache
@require_POST
def new_token(request: PanelRequest, name: str) -> HttpResponse:
    """Another command for a host: its agent has not come in time, or comes anew."""
    found = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    user = check_may_change(request.user)
    return _show_command(request, found, operations.new_token(found, by=user))


def _show_command(request: PanelRequest, host: Host, token: str) -> HttpResponse:
    # The token is shown in the answer itself, without the usual redirect: it would have to be kept somewhere readable
    # until the next page, and only its hash may be kept.
    panel = settings.ENVIRONMENT.agent_url or request.build_absolute_uri("/")
    again = " --again" if host.enrolled_at else ""  # else the agent refuses to replace what it has
    context = {
        "command": f"kvmagent enrol --panel {panel} --token {token}{again}",
        "expires_at": timezone.now() + timedelta(minutes=TOKEN_MINUTES),
    }
    return render(request, "hosts/enrolment.html", {**_enrolment(request, host), **context})


@require_safe
def enrolment(request: PanelRequest, name: str) -> HttpResponse:
    """How far a host has come: waiting for its agent, waiting for a person, in service."""
    found = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    template = "hosts/enrolment.html#status" if request.htmx else "hosts/enrolment.html"
    return render(request, template, _enrolment(request, found))


def _enrolment(request: PanelRequest, host: Host) -> dict[str, object]:
    return {
        "section": SECTION,
        "host": host,
        "fingerprint": operations.fingerprint(host),
        "may_change": may_change(request.user),
    }


@require_POST
def approve(request: PanelRequest, name: str) -> HttpResponse:
    """The person has compared the fingerprint; the form says which one."""
    pending = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    user = check_may_change(request.user)
    if request.POST.get("fingerprint") != operations.fingerprint(pending):
        # Another agent has enrolled since the page was made.
        messages.warning(request, gettext("The host has changed meanwhile. Compare the fingerprint again."))
        return redirect("enrolment", name=pending.name)
    try:
        operations.approve_host(pending, by=user)
    except OperationRefused as refused:
        say(request, refused)
        return redirect("enrolment", name=pending.name)
    messages.success(request, gettext("%(host)s is in service.") % {"host": pending.name})
    return redirect("host", name=pending.name)


@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: PanelRequest, name: str) -> HttpResponse:
    """Says what it means, then takes the host's trust away."""
    found = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    user = check_may_change(request.user)
    if request.method == "POST":
        try:
            operations.revoke_host(found, by=user)
        except OperationRefused as refused:
            say(request, refused)
        else:
            messages.success(request, gettext("%(host)s is revoked.") % {"host": found.name})
        return redirect("host", name=found.name)
    return render(request, "hosts/revoke.html", {"section": SECTION, "host": found})
