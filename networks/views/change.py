"""What was asked of a host and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from networks import operations
from networks.forms import NOT_DONE, OPEN, ChangeFilter
from networks.models import OPEN_STATES, Change, ChangeState
from networks.preview import as_script
from networks.window import window_of
from pages.diff import diff
from pages.refused import say
from pages.requests import PanelRequest
from team.models import User
from team.permissions import check_may_change, check_may_look, may_change, visible
from virtnet.plan import plan
from virtnet.verbs import Verb

SECTION = "changes"
PAGE = 50


@require_safe
def change(request: PanelRequest, pk: UUID) -> HttpResponse:
    """The change with its steps; while it is open the part `#progress` fetches itself each second."""
    found, may = _load(request.user, pk), may_change(request.user)
    steps = found.read_steps()
    verbs = _plan(found) if not steps else []
    commands = [step.command for step in steps if step.outcome in {"done", "already-so"}] or [
        verb.command for verb in verbs
    ]
    context = {
        "section": SECTION,
        "change": found,
        "title": found.title(),
        "steps": steps,
        "verbs": verbs if found.is_open else [],
        "commands": as_script(dict.fromkeys(commands)),
        "problems": found.read_problems(),
        "notes": found.read_notes() if found.is_open else (),
        "window": window_of(found),
        "error": found.read_error(),
        "diff": diff(found.before, found.after),
        # One that was sent lies in the host's queue, as long as the host has not said that it came.
        "waits": found.state in (ChangeState.QUEUED, ChangeState.SENT) and found.host.is_silent,
        "may_decide": may,
        "may_cancel": may and found.state == ChangeState.QUEUED and found.sends == 0,
        "may_give_up": may and found.may_be_given_up,
        "may_retry": may and found.state in operations.RETRIABLE,
        "retries": found.retries.order_by("created_at"),
    }
    template = "networks/change.html#progress" if request.htmx else "networks/change.html"
    return render(request, template, context)


@require_POST
def cancel_change(request: PanelRequest, pk: UUID) -> HttpResponse:
    return _act(request, pk, operations.cancel_change)


@require_POST
def give_up(request: PanelRequest, pk: UUID) -> HttpResponse:
    return _act(request, pk, operations.give_up)


@require_POST
def keep_change(request: PanelRequest, pk: UUID) -> HttpResponse:
    """The person has seen that the host still answers, and keeps what was done to it."""
    return _act(request, pk, operations.keep_change)


@require_POST
def undo_change(request: PanelRequest, pk: UUID) -> HttpResponse:
    return _act(request, pk, operations.undo_change)


@require_POST
def retry_change(request: PanelRequest, pk: UUID) -> HttpResponse:
    return _act(request, pk, operations.retry_change)


def _act(request: PanelRequest, pk: UUID, operate: Callable[..., Change | None]) -> HttpResponse:
    """Leads to the change that was made, else to the one that it is about."""
    found = _load(request.user, pk)
    user = check_may_change(request.user)
    shown: Change | None = None
    try:
        shown = operate(found, by=user)
    except operations.OperationRefused as refused:
        say(request, refused)
    return redirect("change", pk=(shown or found).pk)


@require_safe
def changes(request: PanelRequest) -> HttpResponse:
    check_may_look(request.user)
    rows = visible(listed(Change.objects.all()), request.user)
    form = ChangeFilter(request.GET)
    page = Paginator(_filtered(rows, form), PAGE).get_page(request.GET.get("page"))
    context = {
        "section": SECTION,
        "form": form,
        "page": page,
        "here": request.path,
        "is_filtered": any(request.GET.values()),
    }
    template = "networks/changes.html#list" if request.htmx else "networks/changes.html"
    return render(request, template, context)


def listed(rows: QuerySet[Change]) -> QuerySet[Change]:
    """As lists show them: without documents and facts, of which fifty rows could hold a hundred megabytes."""
    return rows.select_related("host", "by").defer("host__facts", "steps", "problems", "before", "after")


def _filtered(rows: QuerySet[Change], form: ChangeFilter) -> QuerySet[Change]:
    if not form.is_valid():
        return rows.none()
    wanted = form.cleaned_data
    if wanted["host"]:
        rows = rows.filter(host__name__icontains=wanted["host"])
    if wanted["person"]:
        rows = rows.filter(by__username__icontains=wanted["person"])
    if wanted["state"] == OPEN:
        rows = rows.filter(state__in=OPEN_STATES)
    elif wanted["state"] == NOT_DONE:
        rows = rows.exclude(state__in=(*OPEN_STATES, ChangeState.APPLIED))
    elif wanted["state"]:
        rows = rows.filter(state=wanted["state"])
    if wanted["text"]:
        rows = rows.filter(Q(network__name__icontains=wanted["text"]) | Q(domain_name__icontains=wanted["text"]))
    return rows


def _plan(change: Change) -> list[Verb]:
    try:
        return plan(change.read_action(), change.host.read_facts())
    except ValidationError:
        return []  # of another version of the panel: its title says so


def _load(user: User | AnonymousUser, pk: UUID) -> Change:
    # The facts may be a megabyte, and the page asks each second: they are fetched where they are needed.
    related = Change.objects.select_related("host", "by", "network", "verdict_by")
    rows = related.defer("host__facts", "network__facts")
    return get_object_or_404(visible(rows, user), pk=pk)
