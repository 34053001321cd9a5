"""Coming and going."""

from __future__ import annotations

from django.urls import URLPattern, path

from team import views

urlpatterns: list[URLPattern] = [
    path("login/", views.log_in, name="login"),
    path("logout/", views.log_out, name="logout"),
]
