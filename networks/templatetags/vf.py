"""How the attributes of a VF are shown."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from virtnet.vf import NO_MAC
from virtnet.vf_ledger import Said, VfRow, actual

register = template.Library()


@register.simple_tag
def vf_value(row: VfRow, attribute: str) -> SafeString:
    """What the VF has; where something else is wanted, that beside it, and by whom."""
    said = format_html("{}", _said(attribute, actual(row.vf, attribute)))
    difference = next((one for one in row.differences if one.attribute == attribute), None)
    if difference is None:
        return said
    by = gettext("wanted: %(value)s") if difference.by == "panel" else gettext("by its guest: %(value)s")
    wanted = by % {"value": _said(attribute, difference.wanted)}
    return format_html('<span class="no">{}</span> <span class="badge bg-orange-lt">{}</span>', said, wanted)


@register.simple_tag
def vf_rates(row: VfRow) -> SafeString:
    """Least and highest rate, in one word where the card tells neither."""
    least, highest = vf_value(row, "min_tx_rate"), vf_value(row, "max_tx_rate")
    return least if least == highest == gettext("not told") else format_html("{} / {}", least, highest)


def _said(attribute: str, value: Said) -> str:
    if value is None:
        return gettext("not told")
    if isinstance(value, bool):
        return gettext("on") if value else gettext("off")
    if attribute.endswith("_rate"):
        return f"{value} Mbit/s" if value else "–"
    return "–" if value in (0, NO_MAC) and attribute != "qos" else str(value)
