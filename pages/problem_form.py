"""A form that shows what pydantic finds wrong, and what stands in the way on the host: each beside its field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from django import forms
from pydantic import ValidationError

from pages.field_errors import sentence_of_error
from pages.translation import sentence_of, translated
from virtnet.spec import Problem
from virtnet.text import SpecError

SAME: Mapping[str, str] = MappingProxyType({})


class ProblemForm(forms.Form):
    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Each beside its field, else above the form."""
        for problem in problems:
            self.add_error(problem.field if problem.field in self.fields else None, sentence_of(problem))

    def add_validation_errors(self, error: ValidationError, names: Mapping[str, str] = SAME) -> None:
        """The same of what pydantic finds, but for fields that Django has refused already. names: what is called
        otherwise in the form."""
        refused = set(self.errors)
        for found in error.errors():
            cause = found.get("ctx", {}).get("error")
            named = cause.field if isinstance(cause, SpecError) else ""
            field = named or str(next(iter(found["loc"]), ""))
            field = names.get(field, field)
            if field not in self.fields:
                self.add_error(None, translated(sentence_of_error(found)))
            elif field not in refused:
                self.add_error(field, translated(sentence_of_error(found)))
