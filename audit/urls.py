"""Addresses of the record."""

from __future__ import annotations

from django.urls import URLPattern, path

from audit import views

urlpatterns: list[URLPattern] = [
    path("audit/", views.audit, name="audit"),
    path("audit/<int:pk>/", views.event, name="event"),
]
