"""Filters and tags of the panel's templates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, Select
from django.http import QueryDict
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext

from kvmpanel.translation import translated
from virtnet.modes import MODES
from virtnet.text import Text

register = template.Library()

# The fields of virtnet.spec.Reachability
_REACH = {
    "guest_to_internet": gettext_lazy("Internet"),
    "guest_to_host": gettext_lazy("Host"),
    "guest_to_lan": gettext_lazy("LAN"),
    "lan_to_guest": gettext_lazy("LAN → guest"),
    "guest_to_guest": gettext_lazy("Guest ↔ guest"),
}
_WAYS = {
    "guest_to_internet": gettext_lazy("Guest → Internet"),
    "guest_to_host": gettext_lazy("Guest → host"),
    "guest_to_lan": gettext_lazy("Guest → LAN"),
    "lan_to_guest": gettext_lazy("LAN → guest"),
    "guest_to_guest": gettext_lazy("Guest ↔ guest"),
}
_ANSWER = {"yes": gettext_lazy("yes"), "no": gettext_lazy("no"), "depends": gettext_lazy("depends")}
# As `virsh list --all` says them
_GUEST_STATES = {
    "running": gettext_lazy("running"),
    "idle": gettext_lazy("idle"),
    "paused": gettext_lazy("paused"),
    "in shutdown": gettext_lazy("shutting down"),
    "shut off": gettext_lazy("shut off"),
    "crashed": gettext_lazy("crashed"),
    "pmsuspended": gettext_lazy("suspended"),
}
# virtnet.facts.InterfaceAddress.source: who says that a card has an address
_ADDRESS_SOURCES = {"lease": gettext_lazy("lease"), "arp": "ARP", "agent": gettext_lazy("guest agent")}
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
    "failed": "red",
    "expired": "secondary",
    "cancelled": "secondary",
}
_HOP_WIDTH, _HOP_HEIGHT, _HOP_GAP, _HOPS_IN_A_ROW = 68, 28, 18, 4


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
def reach_label(cell: str) -> str:
    """A cell of Reachability in a word or two, for the head of a column."""
    return str(_REACH[cell])


@register.filter
def reach_way(cell: str) -> str:
    """A cell of Reachability with both of its ends."""
    return str(_WAYS[cell])


@register.filter
def answer_label(reachable: str) -> str:
    return str(_ANSWER[reachable])


@register.filter
def mode_label(mode: str) -> str:
    """The name of one of the panel's modes; what libvirt calls it for any other."""
    return translated(MODES[mode].label) if mode in MODES else mode


@register.filter
def guest_state(state: str) -> str:
    """libvirt's word for a guest's state in the reader's language; as it is where libvirt has a new one."""
    return str(_GUEST_STATES.get(state, state))


@register.filter
def address_source(source: str) -> str:
    return str(_ADDRESS_SOURCES.get(source, source))


@register.filter
def event_word(word: str) -> str:
    """A word of the record in the reader's language."""
    return str(_EVENT_WORDS.get(word, word))


@register.simple_tag
def hops(diagram: tuple[str, ...]) -> SafeString:
    """The way from a guest outwards as an SVG: boxes in rows that turn at each end, so that it fits a phone."""
    names = [gettext(hop) for hop in diagram]
    places = [_hop_place(number) for number in range(len(names))]
    width = min(len(names), _HOPS_IN_A_ROW) * (_HOP_WIDTH + _HOP_GAP) - _HOP_GAP + 2
    height = places[-1][1] + _HOP_HEIGHT + 1
    middle = [(x + _HOP_WIDTH // 2, y + _HOP_HEIGHT // 2) for x, y in places]
    line = format_html('<path d="M{}"/>', " L".join(f"{x} {y}" for x, y in middle))
    boxes = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" rx="4"/><text x="{}" y="{}">{}</text>',
        (
            (x, y, _HOP_WIDTH, _HOP_HEIGHT, mx, my + 5, name)
            for (x, y), (mx, my), name in zip(places, middle, names, strict=True)
        ),
    )
    return format_html(
        '<svg class="hops" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}{}</svg>',
        " → ".join(names),
        width,
        height,
        width,
        height,
        line,
        boxes,
    )


def _hop_place(number: int) -> tuple[int, int]:
    row, column = divmod(number, _HOPS_IN_A_ROW)
    if row % 2:
        column = _HOPS_IN_A_ROW - 1 - column
    return 1 + column * (_HOP_WIDTH + _HOP_GAP), 1 + row * (_HOP_HEIGHT + _HOP_GAP)


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
