"""What an operation raises when it may not be done now, and how a page says so."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest

from pages.translation import sentence_of
from virtnet.spec import Problem
from virtnet.text import Text


class OperationRefused(Exception):
    """Nothing was written; `problems` say why and what to do instead."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(str(problem.text) for problem in problems))
        self.problems = problems


def refused(sentence: Text, fix: Text | None = None, *, field: str = "") -> OperationRefused:
    return OperationRefused(Problem(text=sentence, fix=fix, field=field))


def say(request: HttpRequest, refused: OperationRefused) -> None:
    """On the next page that the person sees."""
    for problem in refused.problems:
        messages.warning(request, sentence_of(problem))
