"""All addresses of the panel."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, URLResolver, include, path
from django.views.i18n import set_language

urlpatterns: list[URLPattern | URLResolver] = [
    path("language/", login_not_required(set_language), name="set_language"),
    path("", include("team.urls")),
    path("", include("hosts.urls")),
    path("", include("networks.urls")),
    path("", include("audit.urls")),
]
