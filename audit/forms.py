"""Which events to list."""

from __future__ import annotations

from datetime import date

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from audit.models import Outcome

# A day at either end of what a date can hold has no neighbour, and no other time zone.
_DAYS = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31))]
_DAY = forms.DateInput({"type": "date"})


class AuditFilter(forms.Form):
    person = forms.CharField(label=_("Person"), required=False, max_length=150)
    host = forms.CharField(label=_("Host"), required=False, max_length=63)
    about = forms.CharField(label=_("About"), required=False, max_length=200)
    action = forms.CharField(label=_("Action"), required=False, max_length=60)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False, choices=[("", _("Any")), *Outcome.choices])
    since = forms.DateField(label=_("From"), required=False, validators=_DAYS, widget=_DAY)
    until = forms.DateField(label=_("To"), required=False, validators=_DAYS, widget=_DAY)
