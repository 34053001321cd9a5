"""What wraps every request: the reader's time zone, the caches, a database that is away, and the way to the login."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django_htmx.http import HttpResponseClientRefresh

log = logging.getLogger(__name__)

Answer = Callable[[HttpRequest], HttpResponseBase]


class DatabaseAway:
    """Answers 503 with a page of its own when the database cannot be reached, before a view can fail in its own way."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            connection.ensure_connection()
        except (OperationalError, InterfaceError) as error:
            return self._unavailable(error)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if isinstance(exception, (OperationalError, InterfaceError)):
            return self._unavailable(exception)
        return None

    def _unavailable(self, error: Exception) -> HttpResponseBase:
        log.error("The database is away: %s", error)
        response = HttpResponse(render_to_string("503.html"), status=503)
        response["Retry-After"] = "5"
        response["Cache-Control"] = "no-store"
        return response


def reader_time_zone(get_response: Answer) -> Answer:
    """Shows times in the zone that the browser put in the cookie `timezone`; in UTC until it has."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with timezone.override(_zone(request.COOKIES.get("timezone", ""))):
            return get_response(request)

    return middleware


def _zone(name: str) -> Any:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def private_pages(get_response: Answer) -> Answer:
    """A page and its partials share an address, and what a person sees is theirs: no cache may mix them up."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        patch_vary_headers(response, ["HX-Request"])
        if not response.has_header("Cache-Control"):
            patch_cache_control(response, no_cache=True, private=True)
        return response

    return middleware


class LoginRequired(LoginRequiredMiddleware):
    """As Django's; a part of a page asked for by somebody logged out reloads the page, which leads to the login."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        response = super().process_view(request, view_func, view_args, view_kwargs)
        if response is not None and request.headers.get("HX-Request") == "true":
            return HttpResponseClientRefresh()
        return response
