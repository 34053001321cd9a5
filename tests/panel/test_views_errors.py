"""Pages for what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from kvmpanel.environment import BASE_DIR
from tests.panel.pages import Page

ASK = """
import django, time
django.setup()
from django.test import Client
started = time.monotonic()
answer = Client().get("/")
print(answer.status_code, time.monotonic() - started)
"""


def test_a_page_that_is_not_there_says_so(viewer_client: Client) -> None:
    answer = viewer_client.get("/nothing/")
    assert answer.status_code == 404
    assert "There is no such page" in Page(answer).words


def test_a_person_without_a_role_is_told_what_to_do(stranger_client: Client) -> None:
    answer = stranger_client.get("/")
    assert answer.status_code == 403
    assert "An administrator can give you one." in Page(answer).words


def test_a_mistake_of_the_panel_gets_a_calm_page(viewer_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("hosts.views.fleet", broken)
    viewer_client.raise_request_exception = False
    answer = viewer_client.get("/")
    assert answer.status_code == 500
    assert "Something went wrong in the panel" in Page(answer).words
    assert "secret detail" not in Page(answer).text


def test_a_database_that_goes_away_in_the_middle_is_said_too(
    viewer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr("hosts.views.fleet", away)
    answer = viewer_client.get("/")
    assert answer.status_code == 503
    assert "The panel's database does not answer" in Page(answer).words
    assert answer["Retry-After"] == "5"


def test_nothing_is_asked_of_a_database_that_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "ensure_connection", away)
    answer = client.get("/")
    assert answer.status_code == 503
    assert "script-src 'self'" in answer["Content-Security-Policy"]


def test_it_answers_503_within_two_seconds_when_postgresql_is_down() -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "KVMPANEL_DATABASE_URL": "postgresql://kvmpanel:x@127.0.0.1:1/kvmpanel",
        "KVMPANEL_ALLOWED_HOSTS": '["testserver"]',
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment,
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    status, seconds = done.stdout.split()
    assert status == "503"
    assert float(seconds) < 2
