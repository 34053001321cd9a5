"""Tags of the templates that show hosts."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from hosts.models import Host
from pages.templatetags.panel import badge

register = template.Library()

_COLOURS = {"waiting": "azure", "pending": "azure", "active": "green", "revoked": "secondary"}


@register.simple_tag
def host_badge(host: Host) -> SafeString:
    """A host's status, silent among them."""
    colour = "orange" if host.is_silent else _COLOURS.get(host.status, "secondary")
    return badge(colour, host.shown_status)
