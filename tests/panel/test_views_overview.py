"""All hosts on one page."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from hosts.models import Host, HostStatus
from tests.panel.factories import host_facts, make_host
from tests.panel.pages import Page
from virtnet.text import text


def test_it_shows_each_host_with_its_counts(viewer_client: Client, host: Host, silent_host: Host) -> None:
    page = Page(viewer_client.get("/"))
    assert {"/hosts/kvm1/", "/hosts/kvm2/"} <= set(page.links)
    words = page.words
    assert "2 hosts: 1 active, 1 silent" in words
    assert re.search(r"kvm1 active \d+ seconds? ago 6 2 2 libvirt 9\.0\.0, QEMU 7\.2\.0", words)
    assert "kvm2 silent 1 hour ago" in words


def test_it_suspects_the_panel_when_all_hosts_are_silent_together(viewer_client: Client, silent_host: Host) -> None:
    assert "No host has reported lately." not in Page(viewer_client.get("/")).words
    make_host("kvm3", silent=True)
    assert "look whether the panel's collector runs" in Page(viewer_client.get("/")).words
    make_host("kvm4")
    assert "No host has reported lately." not in Page(viewer_client.get("/")).words


def test_it_says_why_libvirt_is_down(viewer_client: Client) -> None:
    down = host_facts().model_copy(update={"libvirt_error": text("libvirtd does not answer on %(host)s.", host="x1")})
    make_host("kvm1", facts=down)
    assert "libvirtd does not answer on x1." in Page(viewer_client.get("/")).text


@pytest.mark.parametrize("status", list(HostStatus))
def test_it_shows_every_status(viewer_client: Client, status: HostStatus) -> None:
    make_host("kvm1", status=status)
    assert f"kvm1 {status.label} " in Page(viewer_client.get("/")).words


def test_it_teaches_how_to_begin(operator_client: Client) -> None:
    page = Page(operator_client.get("/"))
    assert "No hosts yet" in page.text
    assert "/hosts/add/" in page.links


def test_a_viewer_sees_no_button_to_add_a_host(viewer_client: Client, host: Host) -> None:
    assert "/hosts/add/" not in Page(viewer_client.get("/")).links


def test_it_finds_a_host_by_a_part_of_its_name(viewer_client: Client, host: Host, silent_host: Host) -> None:
    links = Page(viewer_client.get("/", {"search": "VM2"})).links
    assert "/hosts/kvm2/" in links
    assert "/hosts/kvm1/" not in links


def test_it_finds_the_silent_hosts_by_the_word_that_it_shows(
    viewer_client: Client, host: Host, silent_host: Host
) -> None:
    assert "/?search=silent" in Page(viewer_client.get("/")).links
    links = Page(viewer_client.get("/?search=silent")).links
    assert "/hosts/kvm2/" in links
    assert "/hosts/kvm1/" not in links


def test_what_is_no_host_is_looked_for_among_guests_and_networks(viewer_client: Client, host: Host) -> None:
    assert "/search/?q=web" in Page(viewer_client.get("/", {"search": "web"})).links


def test_htmx_gets_the_part_alone_and_it_asks_again(viewer_client: Client, host: Host) -> None:
    answer = viewer_client.get("/?search=kvm", headers={"HX-Request": "true"})
    tags = Page(answer).tags
    assert tags[0][1]["id"] == "fleet"
    assert tags[0][1]["hx-get"] == "/?search=kvm"
    assert "HX-Request" in answer["Vary"]
    assert "html" not in {tag for tag, _ in tags}


def test_a_hundred_hosts_take_as_many_queries_as_one(
    viewer_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(100):
        make_host(f"kvm{number:03}")
    with django_assert_max_num_queries(7):
        page = Page(viewer_client.get("/"))
    assert "100 hosts" in page.text


def test_it_reads_no_host_s_facts(viewer_client: Client, host: Host) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert viewer_client.get("/").status_code == 200
    assert not any('"facts"' in query["sql"] for query in queries)


def test_an_error_of_another_panel_s_making_hides_no_host(viewer_client: Client, host: Host, silent_host: Host) -> None:
    Host.objects.filter(pk=host.pk).update(libvirt_error={"sentence": "of a newer panel"})
    assert {"/hosts/kvm1/", "/hosts/kvm2/"} <= set(Page(viewer_client.get("/")).links)


def test_it_refuses_who_has_no_role(stranger_client: Client, client: Client, db: None) -> None:
    assert stranger_client.get("/").status_code == 403
    assert client.get("/")["Location"] == "/login/?next=/"


def test_it_is_for_reading(operator_client: Client) -> None:
    assert operator_client.post("/").status_code == 405


def test_it_answers_head(viewer_client: Client) -> None:
    assert viewer_client.head("/").status_code == 200
