"""Coming and going, with a plain client."""

from __future__ import annotations

import pytest
from django.test import Client

from team.models import User
from tests.panel.pages import Page

PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.django_db


def test_it_asks_a_passer_by_to_log_in_and_goes_on_to_where_they_wanted(client: Client, viewer: User) -> None:
    asked = client.get("/changes/")
    assert asked["Location"] == "/login/?next=/changes/"
    form = Page(client.get(asked["Location"])).form("/login/")
    answer = client.post(form.action, {**form.values, "username": "viktor", "password": PASSWORD})
    assert answer["Location"] == "/changes/"
    assert client.get("/changes/").status_code == 200


def test_it_names_the_product(client: Client) -> None:
    assert "kvmpanel" in Page(client.get("/login/")).text


def test_it_says_that_a_password_is_wrong_and_keeps_the_name(client: Client, viewer: User) -> None:
    answer = client.post("/login/", {"username": "viktor", "password": "guess"})
    page = Page(answer)
    assert answer.status_code == 200
    assert "correct username and password" in page.text
    assert page.form("/login/").values["username"] == "viktor"
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_it_leads_nobody_out_of_the_panel(client: Client, viewer: User, wanted: str) -> None:
    answer = client.post("/login/", {"username": "viktor", "password": PASSWORD, "next": wanted})
    assert answer["Location"] == "/"


def test_it_sends_who_is_logged_in_to_the_hosts(viewer_client: Client) -> None:
    assert viewer_client.get("/login/")["Location"] == "/"


def test_it_logs_out_by_post_alone(viewer_client: Client) -> None:
    assert viewer_client.get("/logout/").status_code == 405
    assert viewer_client.post("/logout/")["Location"] == "/login/"
    assert viewer_client.get("/").status_code == 302


def test_it_refuses_a_post_without_the_token_of_its_form(viewer: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/login/", {"username": "viktor", "password": PASSWORD}).status_code == 403


def test_a_part_of_a_page_reloads_it_for_who_is_logged_out(client: Client) -> None:
    answer = client.get("/", headers={"HX-Request": "true"})
    assert answer["HX-Refresh"] == "true"
    assert answer.content == b""
