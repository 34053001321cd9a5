"""Which events to list."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from audit.models import Outcome


class AuditFilter(forms.Form):
    person = forms.CharField(label=_("Person"), required=False, max_length=150)
    host = forms.CharField(label=_("Host"), required=False, max_length=63)
    action = forms.CharField(label=_("Action"), required=False, max_length=60)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False, choices=[("", _("Any")), *Outcome.choices])
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date"}))
