"""What is typed about a host."""

from __future__ import annotations

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from pages.problem_form import ProblemForm


class HostForm(ProblemForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("What your team calls the host: small letters, digits and hyphens."),
        validators=[
            RegexValidator(
                r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
                _("Use small letters, digits and hyphens; start and end with a letter or digit, such as kvm-12."),
            ),
        ],
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == "add":  # /hosts/add/ is a page of its own
            raise forms.ValidationError(_("The name “add” is taken by the panel itself. Choose another name."))
        return name
