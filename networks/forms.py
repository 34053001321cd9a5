"""What is typed about a guest's card, and about which changes are wanted."""

from __future__ import annotations

from typing import Any, get_args

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from networks.card_forms import FilterForm
from networks.models import ChangeState
from networks.spec_form import form_field
from networks.templatetags.networks import mode_label
from virtnet.direct import SourceMode
from virtnet.facts import HostFacts
from virtnet.interface import DirectSource, InterfaceSpec, Model


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
        # What cannot be chosen now is taken too when it is sent: the page says why, and so does the answer.
        choices = [(f"network:{one.name}", f"{one.name} ({mode_label(one.mode)})") for one in facts.networks]
        choices += [(f"direct:{one.name}", one.name) for one in facts.links]
        self.fields["source"] = forms.ChoiceField(label=_("Where to"), choices=choices)
        about = DirectSource.model_fields
        self.fields["mode"] = form_field(about["mode"])
        self.fields["trust_guest_rx_filters"] = form_field(about["trust_guest_rx_filters"])

    @property
    def source_mode(self) -> SourceMode:
        """The source mode that is chosen at present, for a card straight on a link."""
        modes: tuple[SourceMode, ...] = get_args(SourceMode)
        chosen = self["mode"].value()
        return next((mode for mode in modes if mode == chosen), "bridge")

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        if self.errors:
            return given
        try:
            self.interface = InterfaceSpec.model_validate(
                {
                    "source": self._source(given),
                    "mac": given["mac"],
                    "model": given["model"],
                    "filter": self.wanted,
                }
            )
        except ValidationError as error:
            self.add_validation_errors(error)
        return given

    def _source(self, given: dict[str, Any]) -> dict[str, Any]:
        kind, _colon, name = given["source"].partition(":")
        if kind == "network":
            return {"type": kind, "network": name}
        trust = given["trust_guest_rx_filters"]
        return {"type": kind, "link": name, "mode": self.source_mode, "trust_guest_rx_filters": trust}


OPEN = "open"  # of OPEN_STATES
NOT_DONE = "not-done"  # ended in any state but applied


class ChangeFilter(forms.Form):
    """Which changes to list."""

    host = forms.CharField(label=_("Host"), required=False, max_length=63)
    person = forms.CharField(label=_("Person"), required=False, max_length=150)
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("Any")), (OPEN, _("not ended")), (NOT_DONE, _("ended, not applied")), *ChangeState.choices],
    )
    text = forms.CharField(label=_("Network or guest"), required=False, max_length=200)
