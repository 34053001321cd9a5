"""Turns a spec class into a Django form. Knows no mode by name."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin

from django import forms
from django.utils.translation import gettext
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kvmpanel.translation import sentence_of, translated
from networks.field_errors import NOT_WHOLE, sentence_of_error
from virtnet.facts import HostFacts, Link, Vf
from virtnet.fields import offered_by
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.text import SpecError
from virtnet.vf_ledger import find_vf


class _Ticks(forms.CheckboxSelectMultiple):
    """With Tabler's class on each box."""

    def __init__(self) -> None:
        super().__init__(attrs={"class": "form-check-input"})


class SpecForm(forms.Form):
    """A form for one spec class. After `is_valid()`, `spec` is the frozen spec."""

    spec_class: type[NetworkSpec]
    spec: NetworkSpec | None = None

    def clean(self) -> dict[str, Any]:
        # What Django refused already is left out, so that pydantic speaks of the other fields all the same.
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        try:
            spec = self.spec_class.model_validate(given)
        except ValidationError as error:
            for found in error.errors():
                self._add(found)
        else:
            if not self.errors:
                self.spec = spec
        return given

    def _add(self, found: ErrorDetails) -> None:
        cause = found.get("ctx", {}).get("error")
        field = str(found["loc"][0]) if found["loc"] else ""
        if isinstance(cause, SpecError):
            field = cause.field or field
        sentence = translated(sentence_of_error(found))
        if field not in self.fields:
            self.add_error(None, sentence)
        elif field not in self.errors:
            self.add_error(field, sentence)

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Puts what stands in the way on the host beside its field, else above the form."""
        for problem in problems:
            self.add_error(problem.field if problem.field in self.fields else None, sentence_of(problem))

    def check_on(self, facts: HostFacts, ref: NetworkRef) -> None:
        """Adds what stands in the way of the spec on this host."""
        if self.spec is not None:
            self.add_problems(self.spec.problems(facts, ref))


def spec_form(spec_class: type[NetworkSpec], facts: HostFacts) -> type[SpecForm]:
    """The form class of a mode, offering what this host has."""
    fields = {name: _form_field(info, facts) for name, info in spec_class.model_fields.items() if name != "mode"}
    return type(f"{spec_class.__name__}Form", (SpecForm,), {"spec_class": spec_class, **fields})


def initial_of(spec: NetworkSpec) -> dict[str, Any]:
    """A spec as its form shows it."""
    return spec.model_dump(mode="json", exclude={"mode"})


def _form_field(info: FieldInfo, facts: HostFacts) -> forms.Field:
    common: dict[str, Any] = {
        "label": gettext(info.title) if info.title else "",
        "help_text": gettext(info.description) if info.description else "",
        "required": info.is_required(),
    }
    if not info.is_required():
        common["initial"] = info.default
    offered = _offered(info)
    if offered is not None:
        choices = [(name, _described(facts, name)) for name in getattr(facts, offered)]
        if get_origin(_plain_type(info.annotation)) is tuple:
            return forms.MultipleChoiceField(choices=choices, widget=_Ticks, **common)
        none = gettext("None") if not info.is_required() else gettext("Choose…")
        empty = gettext("This host has none") if not choices and info.is_required() else none
        return forms.ChoiceField(choices=[("", empty), *choices], **common)
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


def _described(facts: HostFacts, name: str) -> str:
    """A link with what helps to choose it: its state, speed, and the default route."""
    if (found := find_vf(facts, name)) is not None:
        return _described_vf(*found)
    link = facts.link(name)
    if link is None:
        return name
    said = [link.operstate] if link.operstate else []
    if link.speed:
        said.append(_speed(link))
    if link.totalvfs:
        said.append(gettext("at most %(totalvfs)s VFs") % {"totalvfs": link.totalvfs})
    if facts.default_route_dev == name:
        said.append(gettext("default route"))
    return f"{name} ({', '.join(said)})" if said else name


def _described_vf(pf: Link, vf: Vf) -> str:
    said = f"{vf.pci_address}, {vf.driver}" if vf.driver else vf.pci_address
    return gettext("VF %(vf)s of %(pf)s (%(about)s)") % {"vf": vf.index, "pf": pf.name, "about": said}


def _speed(link: Link) -> str:
    speed = link.speed or 0
    return f"{speed / 1000:g} Gbit/s" if speed >= 1000 else f"{speed} Mbit/s"
