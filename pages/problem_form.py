"""A form that shows what stands in the way on the host."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms

from pages.translation import sentence_of
from virtnet.spec import Problem


class ProblemForm(forms.Form):
    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Each beside its field, else above the form."""
        for problem in problems:
            self.add_error(problem.field if problem.field in self.fields else None, sentence_of(problem))
