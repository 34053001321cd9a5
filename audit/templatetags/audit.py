"""Filters of the templates that show the record."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext_lazy

register = template.Library()

# What an event of the record is about, and the names of its details
_EVENT_WORDS = {
    "host": gettext_lazy("host"),
    "network": gettext_lazy("network"),
    "link": gettext_lazy("link"),
    "guest": gettext_lazy("guest"),
    "user": gettext_lazy("user"),
    "address": gettext_lazy("address"),
    "action": gettext_lazy("action"),
    "fingerprint": gettext_lazy("fingerprint"),
    "hostname": gettext_lazy("hostname"),
    "name": gettext_lazy("name"),
    "role": gettext_lazy("role"),
    "by": gettext_lazy("by"),
    "why": gettext_lazy("why"),
}


@register.filter
def event_word(word: str) -> str:
    """A word of the record in the reader's language."""
    return str(_EVENT_WORDS.get(word, word))
