"""Tags of the templates that show hosts."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from hosts.models import Host
from kvmpanel.templatetags.panel import badge

register = template.Library()

_COLOURS = {"waiting": "azure", "pending": "azure", "active": "green", "revoked": "secondary"}


@register.simple_tag
def host_badge(host: Host) -> SafeString:
    """A host's status; an active host that says nothing is silent."""
    if host.is_silent:
        return badge("orange", gettext("silent"))
    return badge(_COLOURS.get(host.status, "secondary"), host.get_status_display())
