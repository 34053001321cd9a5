"""What is typed about the protection of a guest's card."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from pages.problem_form import ProblemForm
from pages.translation import translated
from virtnet.card_filter import STOCK, CardFilter
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.inbound import InboundPolicy, OpenPorts, read_ports
from virtnet.text import SpecError, Text

MOST_CHARACTERS = 4000
PORT_LINES = ("22/tcp", "8000-8100/tcp", "53/udp from 10.0.0.0/8, 2001:db8::/32")  # shown as examples
_FILTER_FIELDS = {"name": "filter"}  # of CardFilter -> of the form; all others have the same name


class FilterForm(ProblemForm):
    """A network filter for a card. After `is_valid()`, `wanted` is it, or None for no filter."""

    filter = forms.ChoiceField(label=_("Filter"), required=False)
    addresses = forms.CharField(
        label=_("Guest's addresses"),
        required=False,
        max_length=MOST_CHARACTERS,
        help_text=_("With commas. Left empty, libvirt takes the first IPv4 address that it sees the guest use."),
    )
    gateway_mac = forms.CharField(
        label=_("Gateway's MAC address"), required=False, max_length=17, help_text=_("For clean-traffic-gateway.")
    )
    dhcp_server = forms.GenericIPAddressField(
        label=_("DHCP server"), required=False, protocol="IPv4", help_text=_("For filters that name one.")
    )
    wanted: CardFilter | None = None

    def __init__(self, facts: HostFacts, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        self.fields["filter"].choices = filter_choices(facts)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        if self.errors or not given.get("filter"):
            return given
        try:
            self.wanted = read_filter(given)
        except ValidationError as error:
            self.add_validation_errors(error, _FILTER_FIELDS)
        return given


def filter_choices(facts: HostFacts) -> list[tuple[Any, Any]]:
    """Those of the host: the ones that a person wants first, then those that others are made of."""
    known = [(name, name) for name, _sentence in stock_filters(facts)]
    others = [(one.name, one.name) for one in facts.filters if one.name not in STOCK]
    groups = [(_("For guests"), known), (_("Others of this host"), others)]
    return [("", _("none")), *((title, group) for title, group in groups if group)]


def stock_filters(facts: HostFacts) -> list[tuple[str, Text]]:
    """Those of libvirt's own that the host has, each with what it does."""
    names = {one.name for one in facts.filters}
    return [(name, sentence) for name, sentence in STOCK.items() if name in names]


def read_filter(given: dict[str, Any]) -> CardFilter:
    """From the cleaned fields of a form. Raises pydantic's ValidationError."""
    return CardFilter.model_validate(
        {
            "name": given["filter"],
            "addresses": tuple(re.split(r"[,\s]+", given["addresses"].strip())) if given["addresses"].strip() else (),
            "gateway_mac": given["gateway_mac"] or None,
            "dhcp_server": given["dhcp_server"] or None,
        }
    )


def filter_values(card: InterfaceFacts) -> dict[str, str]:
    """The form's values for what a card bears now."""
    values: dict[str, list[str]] = {}
    for name, value in card.filter_parameters:
        values.setdefault(name, []).append(value)
    return {
        "filter": card.filter or "",
        "addresses": ", ".join([*values.get("IP", []), *values.get("IPV6", [])]),
        "gateway_mac": "".join(values.get("GATEWAY_MAC", [])[:1]),
        "dhcp_server": "".join(values.get("DHCPSERVER", [])[:1]),
    }


class InboundForm(ProblemForm):
    """What may come in to a card. After `is_valid()`, `policy` is it, or None for everything."""

    let_in = forms.ChoiceField(
        label=_("Let in"),
        choices=[("everything", _("everything")), ("listed", _("only what is listed here"))],
        widget=forms.RadioSelect,
    )
    ports = forms.CharField(
        label=_("Open ports"),
        required=False,
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 6, "class": "form-control", "spellcheck": "false"}),
        help_text=_("One to a line, as below. Without 22/tcp nobody comes in by SSH."),
    )
    ping = forms.BooleanField(label=_("Answer pings"), required=False)
    policy: InboundPolicy | None = None

    def clean(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        if self.errors or given.get("let_in") != "listed":
            return given
        lines = [line for line in given["ports"].splitlines() if line.strip()]
        opened = [ports for number, line in enumerate(lines, 1) if (ports := self._read(number, line)) is not None]
        if self.errors:
            return given
        try:
            self.policy = InboundPolicy(open=tuple(opened), ping=given["ping"])
        except ValidationError:
            self.add_error("ports", _("Open at most 64 lines."))
        return given

    def _read(self, number: int, line: str) -> OpenPorts | None:
        try:
            return read_ports(line)
        except SpecError as error:
            said = _("Line %(number)s: %(error)s") % {"number": number, "error": translated(error.text)}
            self.add_error("ports", said)
            return None


def inbound_values(policy: InboundPolicy | None) -> dict[str, Any]:
    """The form's values for the policy of now; for a card without one, what is a good beginning."""
    if policy is None:
        return {"let_in": "everything", "ports": "22/tcp", "ping": True}
    return {"let_in": "listed", "ports": "\n".join(str(ports) for ports in policy.open), "ping": policy.ping}
