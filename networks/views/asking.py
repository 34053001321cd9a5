"""What every page does that asks a host for a change: the form, what it would do, and then the change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from django.http import HttpResponse
from django.shortcuts import redirect, render

from networks.models import Change
from networks.operations import OperationRefused
from networks.preview import preview
from pages.problem_form import ProblemForm
from pages.requests import PanelRequest
from virtnet.action import Action
from virtnet.facts import HostFacts

Asked = TypeVar("Asked", bound=Action)


def ask(
    request: PanelRequest,
    template: str,
    form: ProblemForm,
    action: Asked | None,
    facts: HostFacts,
    operate: Callable[[Asked], Change],
    context: Mapping[str, object],
) -> HttpResponse:
    """The form with the preview of `action` and what stands in its way. A POST without `step=preview` hands it to
    `operate` and leads to the change.

    action: what the form as it stands asks for; None while it cannot be read. template: with a partial `ask`, which is
    all that htmx is sent. It is given `form`, `preview`, and the rest from `context`.
    """
    seen = preview(action, facts) if action is not None else None
    if request.method == "POST" and action is not None and seen is not None:
        form.add_problems(seen.problems)
        if form.is_valid() and not only_looks(request):
            try:
                return redirect("change", pk=operate(action).pk)
            except OperationRefused as refused:
                form.add_problems(refused.problems)
    rest = {"section": "hosts", "facts": facts, "form": form, "preview": seen, **context}
    return render(request, f"{template}#ask" if request.htmx else template, rest)


def only_looks(request: PanelRequest) -> bool:
    """Whether a POST asks for the preview alone."""
    return request.POST.get("step") == "preview" or bool(request.htmx)
