"""Filters and tags that any template may use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, Select
from django.http import QueryDict
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from pages.translation import translated
from virtnet.text import Text

register = template.Library()

_STATE_COLOURS = {
    "queued": "azure",
    "sent": "azure",
    "running": "blue",
    "armed": "orange",
    "applied": "green",
    "done": "green",
    "requested": "azure",
    "kept": "green",
    "undo-asked": "orange",
    "refused": "orange",
    "undone": "orange",
    "taken-back": "secondary",
    "failed": "red",
    "expired": "secondary",
    "cancelled": "secondary",
}


@register.filter(name="text")
def text_filter(sentence: Text | None) -> str:
    """A `Text` in the reader's language; autoescaping applies to it as to any string."""
    return translated(sentence) if sentence is not None else ""


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of static/icons.svg: decoration, or with `label` a picture that is read aloud."""
    href = f"{static('icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"/></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"/></svg>', href)


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A point in time in the reader's zone (cookie `timezone`); in UTC and said so before the browser has told it."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    zone = " UTC" if timezone.get_current_timezone_name() == "UTC" else ""
    return format_html(
        '<time datetime="{}" title="{}" data-moment>{}{}</time>',
        at.isoformat(),
        at.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}",
        zone,
    )


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """How long ago, e.g. "12 s ago", with the exact time as its title."""
    if at is None:
        return gettext("never")
    said = _ago(max(int((timezone.now() - at).total_seconds()), 0))
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), at.isoformat(), said)


def _ago(seconds: int) -> str:
    # Not Django's timesince: its catalogues lack the units in some languages, Vietnamese among them.
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return ngettext("%(count)d second ago", "%(count)d seconds ago", seconds) % {"count": seconds}
    if hours < 1:
        return ngettext("%(count)d minute ago", "%(count)d minutes ago", minutes) % {"count": minutes}
    if days < 1:
        return ngettext("%(count)d hour ago", "%(count)d hours ago", hours) % {"count": hours}
    return ngettext("%(count)d day ago", "%(count)d days ago", days) % {"count": days}


@register.filter
def widget(field: BoundField) -> SafeString:
    """The field's input with Tabler's classes, tied to its hint and its errors for screen readers."""
    inner = field.field.widget
    kind = "form-control"
    if isinstance(inner, CheckboxInput):
        kind = "form-check-input"
    elif isinstance(inner, Select):
        kind = "form-select"
    attrs: dict[str, Any] = {"class": f"{kind} is-invalid" if field.errors else kind}
    described = [f"{field.auto_id}_hint"] if field.help_text else []
    described += [f"{field.auto_id}_errors"] if field.errors else []
    if described:
        attrs["aria-describedby"] = " ".join(described)
    return field.as_widget(attrs=attrs)


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def is_many(field: BoundField) -> bool:
    """Whether several of its choices may be ticked."""
    return isinstance(field.field.widget, CheckboxSelectMultiple)


@register.simple_tag(takes_context=True)
def page_link(context: dict[str, Any], number: int) -> str:
    """The query string of this page's address with another page number."""
    query: QueryDict = context["request"].GET.copy()
    query["page"] = str(number)
    return f"?{query.urlencode()}"


@register.filter
def at(found: dict[str, Any], key: str) -> Any:
    """What stands under a key, e.g. a count; 0 where there is nothing."""
    return found.get(key, 0)


@register.simple_tag
def state_badge(state: str, label: str) -> SafeString:
    """A Change's state or an event's outcome."""
    return badge(_STATE_COLOURS.get(state, "secondary"), label)


def badge(colour: str, label: str) -> SafeString:
    """A word on a ground of one of Tabler's colours."""
    return format_html('<span class="badge bg-{}-lt">{}</span>', colour, label)
