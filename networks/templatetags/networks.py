"""Filters and tags of the templates that show networks and guests."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from pages.translation import translated
from virtnet.modes import MODES

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
_HOP_WIDTH, _HOP_HEIGHT, _HOP_GAP, _HOPS_IN_A_ROW = 68, 28, 18, 4


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
