"""The request as the panel's middleware leaves it."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class PanelRequest(HttpRequest):
    htmx: HtmxDetails  # true when htmx asks for a part of the page
