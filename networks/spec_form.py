"""Turns a spec class into a Django form. Knows no mode by name."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from django import forms
from django.utils.translation import gettext
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from networks.offers import Offers, described, offers
from pages.field_errors import NOT_WHOLE
from pages.problem_form import ProblemForm
from pages.translation import translated
from virtnet.facts import HostFacts
from virtnet.fields import offered_by
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem


class _Ticks(forms.CheckboxSelectMultiple):
    """With Tabler's class on each box."""

    def __init__(self) -> None:
        super().__init__(attrs={"class": "form-check-input"})


# The row, and with it the UUID, is made when the person says so; until then previews and checks show this one.
NO_UUID = UUID(int=0)


class SpecForm(ProblemForm):
    """A form for one spec class. After `is_valid()`, `spec` is the frozen spec."""

    spec_class: type[NetworkSpec]
    spec: NetworkSpec | None = None

    def clean(self) -> dict[str, Any]:
        # What Django refused already is left out, so that pydantic speaks of the other fields all the same.
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        try:
            spec = self.spec_class.model_validate(given)
        except ValidationError as error:
            self.add_validation_errors(error)
        else:
            if not self.errors:
                self.spec = spec
        return given


class LinkField(forms.ChoiceField):
    """A link of the host. `withheld` says why the others are not offered.

    One of those is taken all the same when it is sent: the spec says what is wrong with it, in better words.
    """

    def __init__(self, found: Offers, facts: HostFacts, chosen: str, *, empty: str, **kwargs: Any) -> None:
        names = found.names if not chosen or chosen in found.names else (*found.names, chosen)
        super().__init__(choices=[("", empty), *((name, described(facts, name)) for name in names)], **kwargs)
        self.withheld = found.withheld

    def valid_value(self, value: Any) -> bool:
        return True


def spec_form(
    spec_class: type[NetworkSpec],
    facts: HostFacts,
    ref: NetworkRef | None = None,
    typed: Mapping[str, Any] | None = None,
) -> type[SpecForm]:
    """The form class of a mode, offering what this host has for the network `ref`, or for a new one.

    typed: what the form holds so far, because what a link can do depends on the other fields.
    """
    trial = _trial(spec_class, typed or {})
    maker = _FieldMaker(facts, trial, ref or NetworkRef(uuid=NO_UUID, name=trial.name), typed or {})
    fields = {name: maker.field(name, info) for name, info in spec_class.model_fields.items() if name != "mode"}
    return type(f"{spec_class.__name__}Form", (SpecForm,), {"spec_class": spec_class, **fields})


def initial_of(spec: NetworkSpec) -> dict[str, Any]:
    """A spec as its form shows it."""
    return spec.model_dump(mode="json", exclude={"mode"})


@dataclass(frozen=True)
class _FieldMaker:
    facts: HostFacts
    trial: NetworkSpec
    ref: NetworkRef
    typed: Mapping[str, Any]

    def field(self, name: str, info: FieldInfo) -> forms.Field:
        offered = _offered(info)
        if offered is None:
            return form_field(info)
        if get_origin(_plain_type(info.annotation)) is tuple:
            choices = [(one, described(self.facts, one)) for one in getattr(self.facts, offered)]
            return forms.MultipleChoiceField(choices=choices, widget=_Ticks, **_common(info))
        found = offers(self.facts, getattr(self.facts, offered), lambda link: self._in_the_way(name, link))
        none = gettext("None") if not info.is_required() else gettext("Choose…")
        empty = gettext("This host has none") if not found.names and info.is_required() else none
        chosen = str(self.typed.get(name) or "")
        return LinkField(found, self.facts, chosen, empty=empty, **_common(info))

    def _in_the_way(self, field: str, link: str) -> list[Problem]:
        wanted = self.trial.model_copy(update={field: link})
        return [problem for problem in wanted.problems(self.facts, self.ref) if problem.field == field]


def _trial(spec_class: type[NetworkSpec], typed: Mapping[str, Any]) -> NetworkSpec:
    """A whole spec as near as can be to what is typed: what is missing or wrong is as in the mode's example."""
    example = spec_class.examples()[0]
    given = {name: typed[name] for name in spec_class.model_fields if name != "mode" and typed.get(name)}
    while given:
        try:
            return spec_class.model_validate({**example.model_dump(), **given})
        except ValidationError as error:
            wrong = {str(found["loc"][0]) for found in error.errors() if found["loc"]} & given.keys()
            given = {name: value for name, value in given.items() if wrong and name not in wrong}
    return example


def _common(info: FieldInfo) -> dict[str, Any]:
    common: dict[str, Any] = {
        "label": gettext(info.title) if info.title else "",
        "help_text": gettext(info.description) if info.description else "",
        "required": info.is_required(),
    }
    if not info.is_required():
        common["initial"] = info.default
    return common


def form_field(info: FieldInfo) -> forms.Field:
    """The field of a form for a field of a spec that is no link of the host."""
    common = _common(info)
    plain = _plain_type(info.annotation)
    if get_origin(plain) is Literal:
        return forms.ChoiceField(choices=[(name, name) for name in get_args(plain)], **common)
    if plain is bool:
        return forms.BooleanField(**{**common, "required": False})
    if plain is int:
        return forms.IntegerField(error_messages={"invalid": translated(NOT_WHOLE)}, **common)
    return forms.CharField(max_length=200, **common)


def _offered(info: FieldInfo) -> str | None:
    """The HostFacts attribute that the field offers: marked on the field, or on its type."""
    marks = [*info.metadata]
    for argument in get_args(info.annotation):
        marks += getattr(argument, "__metadata__", ())
    return offered_by(tuple(marks))


def _plain_type(annotation: Any) -> Any:
    """`IPv4Address | None` -> IPv4Address; `Annotated[int, ...]` -> int."""
    if get_origin(annotation) in (types.UnionType, Union):
        return _plain_type(next(one for one in get_args(annotation) if one is not types.NoneType))
    return _plain_type(annotation.__origin__) if hasattr(annotation, "__metadata__") else annotation
