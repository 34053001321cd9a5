"""What is typed about a guest's card, and about which changes are wanted."""

from __future__ import annotations

from typing import Any, get_args

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from kvmpanel.templatetags.panel import mode_label
from kvmpanel.translation import translated
from networks.card_forms import FilterForm
from networks.field_errors import sentence_of_error
from networks.models import ChangeState
from virtnet.facts import HostFacts
from virtnet.interface import InterfaceSpec, Model


class AttachForm(FilterForm):
    """A card for a guest, with a filter on it or none. After `is_valid()`, `interface` is its spec."""

    model = forms.ChoiceField(
        label=_("Model"),
        help_text=_("virtio is the fastest. Take another only for a guest without its driver."),
        choices=[(name, name) for name in get_args(Model)],
    )
    mac = forms.CharField(
        label=_("MAC address"), max_length=17, help_text=_("Drawn for this card. Change it only when you must.")
    )
    interface: InterfaceSpec | None = None

    def __init__(self, facts: HostFacts, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(facts, data, initial=initial)
        # A network that does not run is offered too: the page says why it cannot be chosen yet.
        choices = [(f"network:{one.name}", f"{one.name} ({mode_label(one.mode)})") for one in facts.networks]
        self.fields["source"] = forms.ChoiceField(label=_("Network"), choices=choices)

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        if self.errors:
            return given
        kind, _colon, name = given.pop("source").partition(":")
        try:
            self.interface = InterfaceSpec.model_validate(
                {
                    "source": {"type": kind, kind: name},
                    "mac": given["mac"],
                    "model": given["model"],
                    "filter": self.wanted,
                }
            )
        except ValidationError as error:
            for found in error.errors():
                self.add_error(str(found["loc"][0]) if found["loc"] else None, translated(sentence_of_error(found)))
        return given


class ChangeFilter(forms.Form):
    """Which changes to list."""

    host = forms.CharField(label=_("Host"), required=False, max_length=63)
    person = forms.CharField(label=_("Person"), required=False, max_length=150)
    state = forms.ChoiceField(label=_("State"), required=False, choices=[("", _("Any")), *ChangeState.choices])
    text = forms.CharField(label=_("Network or guest"), required=False, max_length=200)
