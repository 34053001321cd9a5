"""What the modes are, from the modes themselves."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from team.permissions import check_may_look
from virtnet.modes import MODES
from virtnet.spec import NetworkSpec

SECTION = "modes"


def one_of_each() -> list[NetworkSpec]:
    """An example of each mode: a template reads the mode's sentences from it (a class it would call)."""
    return [mode.examples()[0] for mode in MODES.values()]


@require_safe
def modes(request: HttpRequest) -> HttpResponse:
    """All modes beside each other: who reaches whom."""
    check_may_look(request.user)
    examples = [example for mode in MODES.values() for example in mode.examples()]
    return render(request, "networks/modes.html", {"section": SECTION, "modes": one_of_each(), "examples": examples})


@require_safe
def mode(request: HttpRequest, mode: str) -> HttpResponse:
    """One mode explained."""
    check_may_look(request.user)
    if mode not in MODES:
        raise Http404
    examples = MODES[mode].examples()
    context = {"section": SECTION, "mode": examples[0], "examples": examples}
    return render(request, "networks/mode.html", context)
