"""Addresses of the fleet."""

from __future__ import annotations

from django.urls import URLPattern, path

from hosts import views
from hosts.api import enrol_view

urlpatterns: list[URLPattern] = [
    path("", views.overview, name="overview"),
    path("enrol/", enrol_view, name="enrol"),
    path("hosts/add/", views.add_host, name="add_host"),
    path("hosts/<slug:name>/", views.host, name="host"),
    path("hosts/<slug:name>/enrolment/", views.enrolment, name="enrolment"),
    path("hosts/<slug:name>/token/", views.new_token, name="new_token"),
    path("hosts/<slug:name>/approve/", views.approve, name="approve"),
    path("hosts/<slug:name>/revoke/", views.revoke, name="revoke"),
]
