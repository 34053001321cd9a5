"""Making a network, and changing one: a mode, its form, the preview."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from hosts.models import Host
from networks import operations
from networks.models import Network
from networks.spec_form import NO_UUID, SpecForm, initial_of, spec_form
from networks.views.asking import ask, only_looks
from networks.views.modes import one_of_each
from pages.requests import PanelRequest
from team.permissions import check_may_change, visible
from virtnet.actions import DefineNetwork, UpdateNetwork
from virtnet.modes import MODES
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec

SECTION = "hosts"


@require_safe
def choose_mode(request: PanelRequest, name: str) -> HttpResponse:
    host = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    check_may_change(request.user)
    facts = host.read_facts()
    modes = [(mode, mode.lacks(facts)) for mode in one_of_each()]
    return render(request, "networks/choose_mode.html", {"section": SECTION, "host": host, "modes": modes})


@require_http_methods(["GET", "HEAD", "POST"])
def new_network(request: PanelRequest, name: str, mode: str) -> HttpResponse:
    """The explanation beside the form. POST with `step=preview` only checks; any other POST makes the network."""
    host = get_object_or_404(visible(Host.objects.all(), request.user), name=name)
    user = check_may_change(request.user)
    if mode not in MODES:
        raise Http404
    spec_class, facts = MODES[mode], host.read_facts()
    # What is suggested is shown as typed, so that its preview is there at once; nothing is red before it is wrong.
    suggested = spec_class.suggest(facts)
    form_class = spec_form(spec_class, facts, typed=request.POST or suggested)
    form = form_class(request.POST or None, initial=suggested)
    spec = _spec(form)
    action = DefineNetwork(network=NetworkRef(uuid=NO_UUID, name=spec.name), spec=spec) if spec is not None else None
    context = {
        "host": host,
        "mode": spec_class.examples()[0],
        "lacks": spec_class.lacks(facts),
        "example": spec or spec_class.examples()[0],
    }
    return ask(
        request,
        "networks/new.html",
        form,
        action,
        facts,
        lambda asked: operations.define_network(host, asked.spec, by=user),
        context,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def edit_network(request: PanelRequest, pk: UUID) -> HttpResponse:
    """Another spec of the same mode and name for a network of the panel."""
    network = get_object_or_404(visible(Network.objects.select_related("host"), request.user), pk=pk)
    user = check_may_change(request.user)
    spec = network.read_spec()
    if spec is None or network.removed_at is not None:
        raise Http404
    spec_class, facts = MODES[network.mode], network.host.read_facts()
    ref, now = network.ref, initial_of(spec.as_found(facts))
    form = spec_form(spec_class, facts, ref, request.POST or now)(request.POST or None, initial=now)
    form.fields["name"].disabled = True
    wanted = _spec(form)
    action = UpdateNetwork(network=ref, spec=wanted) if wanted is not None else None
    seen = request.POST.get("seen")
    if (problem := operations.overtaken(network, seen)) is not None:
        form.add_problems([problem])
    context = {
        "host": network.host,
        "network": network,
        "mode": spec,
        "example": wanted or spec,
        "seen": seen if seen is not None and only_looks(request) else _seen(request, network),
    }
    return ask(
        request,
        "networks/new.html",
        form,
        action,
        facts,
        lambda asked: operations.update_network(network, asked.spec, by=user, seen=seen),
        context,
    )


def _seen(request: PanelRequest, network: Network) -> str:
    """The newest update that its reader knows of: one that goes on is in no field yet, but who has sent the form is
    told of it, and the same form sent again counts."""
    newest = network.newest_update()
    return str(newest.pk) if newest is not None and (request.method == "POST" or not newest.is_open) else ""


def _spec(form: SpecForm) -> NetworkSpec | None:
    """The spec of a form as it stands; what it starts with counts as typed."""
    if form.is_bound:
        return form.spec if form.is_valid() else None
    started = type(form)({name: value for name, value in form.initial.items() if value is not None})
    return started.spec if started.is_valid() else None
