"""How a host comes and goes."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from audit.models import AuditEvent
from hosts import operations
from hosts.enrolment import hash_of
from hosts.models import EnrolmentToken, Host, HostStatus
from tests.panel.factories import Agent, make_host
from tests.panel.pages import Page

pytestmark = pytest.mark.django_db

PENDING = HostStatus.PENDING


def test_it_shows_the_one_command_with_a_token_that_works(operator_client: Client) -> None:
    form = Page(operator_client.get("/hosts/add/")).form("/hosts/add/")
    answer = operator_client.post(form.action, {**form.values, "name": "kvm7"})
    command = re.search(r"kvmagent enrol --panel (\S+) --token (\S+)", Page(answer).text)
    assert command is not None
    assert command[1] == "http://testserver/"
    assert EnrolmentToken.objects.get().sha256 == hash_of(command[2])
    assert Host.objects.get(name="kvm7").status == HostStatus.WAITING
    assert "no-store" in answer["Cache-Control"]


def test_the_command_names_the_address_at_which_hosts_reach_the_panel(
    operator_client: Client, settings: Settings
) -> None:
    agent_url = "https://panel.lan.example.org:8443"
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"agent_url": agent_url})
    page = Page(operator_client.post("/hosts/add/", {"name": "kvm7"}))
    assert f"kvmagent enrol --panel {agent_url} --token " in page.text


def test_the_command_for_a_host_that_was_enrolled_before_says_so(operator_client: Client) -> None:
    make_host("kvm7", status=HostStatus.REVOKED)
    page = Page(operator_client.post("/hosts/kvm7/token/"))
    assert re.search(r"--token \S+ --again\s", page.text)


def test_the_token_is_shown_once(operator_client: Client) -> None:
    operator_client.post("/hosts/add/", {"name": "kvm7"})
    assert "--token" not in Page(operator_client.get("/hosts/kvm7/enrolment/")).text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "This field is required."),
        ("Kvm 1", "small letters"),
        ("-kvm", "small letters"),
        ("k" * 64, "at most 63"),
        ("add", "taken by the panel"),
        ("kvm1", "There is a host kvm1 already."),
        ("<b>", "small letters"),
    ],
)
def test_it_says_what_is_wrong_with_a_name_and_keeps_it(operator_client: Client, name: str, sentence: str) -> None:
    make_host("kvm1")
    page = Page(operator_client.post("/hosts/add/", {"name": name}))
    assert sentence in page.text
    assert page.form("/hosts/add/").values["name"] == name
    assert Host.objects.count() == 1


def test_the_page_goes_on_by_itself_until_a_person_has_to_act(operator_client: Client) -> None:
    Host.objects.create(name="kvm7")
    waiting = Page(operator_client.get("/hosts/kvm7/enrolment/", headers={"HX-Request": "true"}))
    assert waiting.tags[0][1]["hx-trigger"] == "every 2s"
    Host.objects.update(status=HostStatus.ACTIVE)
    active = Page(operator_client.get("/hosts/kvm7/enrolment/", headers={"HX-Request": "true"}))
    assert "hx-trigger" not in active.tags[0][1]
    assert "In service" in active.text


def test_a_person_compares_the_fingerprint_and_approves(operator_client: Client, agent: Agent) -> None:
    host = make_host("kvm1", status=PENDING, agent=agent)
    assert operator_client.get("/hosts/kvm1/")["Location"] == "/hosts/kvm1/enrolment/"
    page = Page(operator_client.get("/hosts/kvm1/enrolment/"))
    assert operations.fingerprint(host) in page.text
    form = page.form("/hosts/kvm1/approve/")
    assert operator_client.post(form.action, form.values)["Location"] == "/hosts/kvm1/"
    assert Host.objects.get().status == HostStatus.ACTIVE
    assert AuditEvent.objects.filter(action="approve-host").count() == 1


def test_it_does_not_approve_another_key_than_the_one_that_was_compared(operator_client: Client) -> None:
    make_host("kvm1", status=PENDING)
    form = Page(operator_client.get("/hosts/kvm1/enrolment/")).form("/hosts/kvm1/approve/")
    Host.objects.update(public_key=Agent(Host.objects.get().pk).public_key)
    answer = operator_client.post(form.action, form.values, follow=True)
    assert "Compare the fingerprint again." in Page(answer).text
    assert Host.objects.get().status == PENDING


def test_it_says_so_when_a_host_is_approved_already(operator_client: Client) -> None:
    host = make_host("kvm1")
    sent = {"fingerprint": operations.fingerprint(host)}
    answer = operator_client.post("/hosts/kvm1/approve/", sent, follow=True)
    assert "does not wait for approval" in Page(answer).text


def test_it_makes_another_command(operator_client: Client) -> None:
    Host.objects.create(name="kvm7")
    form = Page(operator_client.get("/hosts/kvm7/enrolment/")).form("/hosts/kvm7/token/")
    assert "kvmagent enrol --panel" in Page(operator_client.post(form.action, form.values)).text


def test_it_says_what_revoking_means_and_then_revokes(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get("/hosts/kvm1/revoke/"))
    assert "Networks and guests on the host go on as they are." in page.text
    form = page.form("/hosts/kvm1/revoke/")
    assert operator_client.post(form.action, form.values)["Location"] == "/hosts/kvm1/"
    assert Host.objects.get().status == HostStatus.REVOKED


def test_it_says_so_when_a_host_is_revoked_already(operator_client: Client) -> None:
    make_host("kvm1", status=HostStatus.REVOKED)
    answer = operator_client.post("/hosts/kvm1/revoke/", follow=True)
    assert "is revoked already" in Page(answer).text


@pytest.mark.parametrize("path", ["approve", "revoke", "token"])
def test_a_viewer_and_a_stranger_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, path: str
) -> None:
    make_host("kvm1", status=PENDING)
    address = f"/hosts/kvm1/{path}/"
    assert viewer_client.post(address).status_code == 403
    assert stranger_client.post(address).status_code == 404
    assert client.post(address)["Location"] == f"/login/?next={address}"
    assert Host.objects.get().status == PENDING


def test_only_an_operator_adds_a_host(viewer_client: Client, stranger_client: Client) -> None:
    for client in (viewer_client, stranger_client):
        assert client.get("/hosts/add/").status_code == 403
        assert client.post("/hosts/add/", {"name": "kvm7"}).status_code == 403
    assert not Host.objects.exists()


def test_a_viewer_sees_the_fingerprint_and_no_button(viewer_client: Client) -> None:
    make_host("kvm1", status=PENDING)
    page = Page(viewer_client.get("/hosts/kvm1/enrolment/"))
    assert "An operator can approve it." in page.text
    assert [form.action for form in page.forms] == ["/logout/", "/language/"]


@pytest.mark.parametrize("path", ["approve", "token"])
def test_acting_takes_a_post(operator_client: Client, host: Host, path: str) -> None:
    assert operator_client.get(f"/hosts/kvm1/{path}/").status_code == 405
