"""What is typed about a PF and its VFs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from networks.offers import described
from pages.field_errors import NOT_WHOLE
from pages.problem_form import ProblemForm
from virtnet.actions import AttachInterface
from virtnet.facts import HostFacts
from virtnet.fields import MacAddress
from virtnet.interface import InterfaceSpec
from virtnet.link_facts import Link
from virtnet.refs import DomainRef
from virtnet.vf import LINK_STATES, VfAttributes
from virtnet.vf_card import HostdevSource
from virtnet.vf_pair import AttachPair

_mac: TypeAdapter[str] = TypeAdapter(MacAddress)

WHOLE = {"invalid": _(NOT_WHOLE.message)}  # in the language of who reads it, not of who made the form


class NumvfsForm(ProblemForm):
    """How many VFs a PF has."""

    numvfs = forms.IntegerField(label=_("Number of VFs"), min_value=0, max_value=65535, error_messages=WHOLE)

    def __init__(self, pf: Link, data: Any = None) -> None:
        super().__init__(data, initial={"numvfs": pf.numvfs or 0})
        self.fields["numvfs"].help_text = gettext("0 to %(totalvfs)s. 0 takes all of them away.") % {
            "totalvfs": pf.totalvfs
        }


class VfForm(ProblemForm):
    """The attributes of one VF; an empty field wants nothing. After `is_valid()`, `attributes` is what is wanted."""

    attributes: VfAttributes | None = None

    def __init__(self, data: Any = None, wanted: VfAttributes | None = None) -> None:
        shown = {name: _shown(value) for name, value in wanted.wanted().items()} if wanted is not None else {}
        super().__init__(data, initial=shown)
        for name, info in VfAttributes.model_fields.items():
            self.fields[name] = _field(name, info)

    def clean(self) -> dict[str, Any]:
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}
        try:
            wanted = VfAttributes.model_validate(given)
        except ValidationError as error:
            self.add_validation_errors(error)
        else:
            if not self.errors:
                self.attributes = wanted
        return given


def _shown(value: str | int | bool) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _field(name: str, info: FieldInfo) -> forms.Field:
    common: dict[str, Any] = {
        "label": gettext(info.title or ""),
        "help_text": gettext(info.description or ""),
        "required": False,
    }
    nothing = ("", gettext("As the driver has it"))
    if name == "link_state":
        return forms.ChoiceField(choices=[nothing, *((state, state) for state in LINK_STATES)], **common)
    if name in {"spoofchk", "trust"}:
        return forms.ChoiceField(choices=[nothing, ("on", gettext("on")), ("off", gettext("off"))], **common)
    if name == "mac":
        return forms.CharField(max_length=17, **common)
    return forms.IntegerField(error_messages=WHOLE, **common)


class GiveVfForm(ProblemForm):
    """A VF for a guest, alone or paired with a virtio card."""

    vf = forms.ChoiceField(label=_("VF"))
    vlan = forms.IntegerField(
        label=_("VLAN tag"),
        required=False,
        error_messages=WHOLE,
        help_text=_("The card puts the guest into this VLAN; it sees untagged frames."),
    )
    mac = forms.CharField(
        label=_("MAC address"), max_length=17, help_text=_("Drawn for this card. Change it only when you must.")
    )
    network = forms.ChoiceField(
        label=_("Pair it with a virtio card in"),
        required=False,
        help_text=_(
            "For a guest that must migrate: both cards have one MAC address, the guest sends through the VF, and "
            "through the virtio card while it migrates. Its kernel needs the driver net_failover."
        ),
    )
    _source: HostdevSource | None = None

    def __init__(self, facts: HostFacts, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        choices = [(vf.pci_address, described(facts, vf.pci_address)) for pf in facts.links for vf in pf.vfs]
        none = gettext("Choose…") if choices else gettext("This host has none")
        bridges = [(one.name, one.name) for one in facts.networks if one.bridge is not None]
        # The class's own field is shared by all its forms; this one's is its copy.
        self.fields["vf"].choices = [("", none), *choices]  # type: ignore[attr-defined]
        self.fields["network"].choices = [("", gettext("No pair: the VF alone")), *bridges]  # type: ignore[attr-defined]

    def action(self, guest: DomainRef) -> AttachInterface | AttachPair | None:
        """What is asked for; None while it cannot be read."""
        if not self.is_valid() or self._source is None:
            return None
        network, mac = self.cleaned_data["network"], self.cleaned_data["mac"]
        if network:
            return AttachPair(domain=guest, vf=self._source, network=network, mac=mac)
        return AttachInterface(domain=guest, interface=InterfaceSpec(source=self._source, mac=mac))

    def clean(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        if self.errors:
            return given
        try:
            given["mac"] = _mac.validate_python(given["mac"])
            self._source = HostdevSource.model_validate({"vf": given["vf"], "vlan": given["vlan"]})
        except ValidationError as error:
            self.add_validation_errors(error, {"": "mac"})
        return given
