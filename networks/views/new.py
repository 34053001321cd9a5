"""Making a network, and changing one: a mode, its form, the preview."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from hosts.models import Host
from kvmpanel.requests import PanelRequest
from networks import operations
from networks.models import Network
from networks.preview import preview
from networks.spec_form import NO_UUID, SpecForm, initial_of, spec_form
from networks.views.modes import one_of_each
from team.permissions import check_may_change, visible
from virtnet.actions import DefineNetwork, UpdateNetwork
from virtnet.facts import HostFacts
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
    if request.method == "POST":
        if form.is_valid() and form.spec is not None:
            form.check_on(facts, NetworkRef(uuid=NO_UUID, name=form.spec.name))
        if form.is_valid() and form.spec is not None and not _is_preview(request):
            try:
                change = operations.define_network(host, form.spec, by=user)
            except operations.OperationRefused as refused:
                form.add_problems(refused.problems)
            else:
                return redirect("change", pk=change.pk)
    context = {
        "section": SECTION,
        "host": host,
        "facts": facts,
        "mode": spec_class.examples()[0],
        "lacks": spec_class.lacks(facts),
        "form": form,
        "preview": _preview(form, facts),
        "example": _spec(form) or spec_class.examples()[0],
    }
    return _page_or_part(request, context)


@require_http_methods(["GET", "HEAD", "POST"])
def edit_network(request: PanelRequest, pk: UUID) -> HttpResponse:
    """Another spec of the same mode and name for a network of the panel."""
    network = get_object_or_404(visible(Network.objects.select_related("host"), request.user), pk=pk)
    user = check_may_change(request.user)
    spec = network.read_spec()
    if spec is None or network.removed_at is not None:
        raise Http404
    spec_class, facts = MODES[network.mode], network.host.read_facts()
    ref, now = NetworkRef(uuid=network.uuid, name=network.name), initial_of(spec.as_found(facts))
    form = spec_form(spec_class, facts, ref, request.POST or now)(request.POST or None, initial=now)
    form.fields["name"].disabled = True
    if request.method == "POST" and form.is_valid() and form.spec is not None:
        form.check_on(facts, ref)
        if form.is_valid() and not _is_preview(request):
            try:
                change = operations.update_network(network, form.spec, by=user)
            except operations.OperationRefused as refused:
                form.add_problems(refused.problems)
            else:
                return redirect("change", pk=change.pk)
    wanted = _spec(form)
    context = {
        "section": SECTION,
        "host": network.host,
        "facts": facts,
        "network": network,
        "mode": spec,
        "form": form,
        "preview": preview(UpdateNetwork(network=ref, spec=wanted), facts) if wanted else None,
        "example": wanted or spec,
    }
    return _page_or_part(request, context)


def _page_or_part(request: PanelRequest, context: dict[str, object]) -> HttpResponse:
    template = "networks/new.html#spec" if request.htmx else "networks/new.html"
    return render(request, template, context)


def _is_preview(request: PanelRequest) -> bool:
    return request.POST.get("step") == "preview" or bool(request.htmx)


def _spec(form: SpecForm) -> NetworkSpec | None:
    """The spec of a form as it stands; what it starts with counts as typed."""
    if form.is_bound:
        return form.spec if form.is_valid() else None
    started = type(form)({name: value for name, value in form.initial.items() if value is not None})
    return started.spec if started.is_valid() else None


def _preview(form: SpecForm, facts: HostFacts) -> object:
    spec = _spec(form)
    if spec is None:
        return None
    return preview(DefineNetwork(network=NetworkRef(uuid=NO_UUID, name=spec.name), spec=spec), facts)
