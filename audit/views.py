"""The record, for reading."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit.forms import AuditFilter
from audit.models import AuditEvent
from pages.diff import diff
from team.permissions import check_may_look, visible

SECTION = "audit"
PAGE = 50


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    check_may_look(request.user)
    form = AuditFilter(request.GET)
    rows = visible(AuditEvent.objects.defer("before", "after"), request.user)
    page = Paginator(_filtered(rows, form), PAGE).get_page(request.GET.get("page"))
    context = {"section": SECTION, "form": form, "page": page, "is_filtered": any(request.GET.values())}
    return render(request, "audit/events.html", context)


@require_safe
def event(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(visible(AuditEvent.objects.all(), request.user), pk=pk)
    context = {
        "section": SECTION,
        "event": found,
        "diff": diff(found.before, found.after),
        "detail": [_shown(name, value) for name, value in sorted(found.detail.items())],
    }
    return render(request, "audit/event.html", context)


def _shown(name: str, value: object) -> tuple[str, str, bool]:
    """(name, text, whether the text is a document): what is more than a word is shown as JSON."""
    if isinstance(value, dict | list):
        return name, json.dumps(value, indent=2, ensure_ascii=False), True
    return name, str(value), False


def _filtered(rows: QuerySet[AuditEvent], form: AuditFilter) -> QuerySet[AuditEvent]:
    """Those that the form asks for; none while it holds something that cannot be, such as a date that is none."""
    if not form.is_valid():
        return rows.none()
    wanted = form.cleaned_data
    if wanted["person"]:
        rows = rows.filter(actor_name__icontains=wanted["person"])
    if wanted["host"]:
        rows = rows.filter(host_name__icontains=wanted["host"])
    if wanted["about"]:
        rows = rows.filter(object_name__icontains=wanted["about"])
    if wanted["action"]:
        rows = rows.filter(action__icontains=wanted["action"])
    if wanted["outcome"]:
        rows = rows.filter(outcome=wanted["outcome"])
    # A day is the reader's day.
    if wanted["since"]:
        rows = rows.filter(at__gte=timezone.make_aware(datetime.combine(wanted["since"], time.min)))
    if wanted["until"]:
        after = wanted["until"] + timedelta(days=1)
        rows = rows.filter(at__lt=timezone.make_aware(datetime.combine(after, time.min)))
    return rows
