"""Finding a guest, a network or a host in the whole fleet."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from hosts.models import Host
from networks.models import Network, VmInterface
from tests.panel.factories import WEB_GUEST, WEB_MAC, host_facts, make_host, web_guest
from tests.panel.pages import Page

GUEST = f"/hosts/kvm1/guests/{WEB_GUEST}/"


@pytest.mark.parametrize("term", ["web", "WE", WEB_MAC, WEB_MAC.upper().replace(":", "-"), "00:01", "192.168.122.50"])
def test_a_guest_is_found_by_its_name_mac_or_ip_address(viewer_client: Client, host: Host, term: str) -> None:
    page = Page(viewer_client.get("/search/", {"q": term}))
    assert GUEST in page.links
    assert f"web kvm1 default {WEB_MAC} 192.168.122.50" in page.words


def test_a_guest_without_a_card_is_found_by_its_name(viewer_client: Client) -> None:
    bare = web_guest().model_copy(update={"interfaces": ()})
    make_host("kvm1", facts=host_facts(domains=(bare,)))
    page = Page(viewer_client.get("/search/?q=we"))
    assert GUEST in page.links
    assert "Guests without a card 1 Guest Host web kvm1" in page.words


def test_a_network_and_a_host_are_found_by_a_part_of_their_names(viewer_client: Client, host: Host) -> None:
    lab = Network.objects.get(name="lab")
    assert f"/networks/{lab.pk}/" in Page(viewer_client.get("/search/?q=la")).links
    assert "/hosts/kvm1/" in Page(viewer_client.get("/search/?q=vm1")).links


def test_a_network_that_is_gone_is_not_found(viewer_client: Client, host: Host) -> None:
    Network.objects.filter(name="lab").update(removed_at="2026-05-01T00:00:00Z")
    assert "Nothing fits" in Page(viewer_client.get("/search/?q=lab")).words


@pytest.mark.parametrize("term", ["", "  ", "\0"])
def test_without_a_term_it_only_asks_for_one(viewer_client: Client, host: Host, term: str) -> None:
    page = Page(viewer_client.get("/search/", {"q": term}))
    assert "Nothing fits" not in page.words
    assert GUEST not in page.links


def test_it_says_when_nothing_fits_and_keeps_what_was_typed(viewer_client: Client, host: Host) -> None:
    page = Page(viewer_client.get("/search/", {"q": "<b>&"}))
    assert "Nothing fits" in page.words
    assert page.form("/search/", "get").values["q"] == "<b>&"


def test_a_hundred_hosts_take_as_many_queries_as_one(
    viewer_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(100):
        make_host(f"kvm{number:03}")
    with django_assert_max_num_queries(10):
        page = Page(viewer_client.get("/search/?q=web"))
    assert "Guests' cards 50+" in page.words


def test_a_card_of_another_version_breaks_no_page(viewer_client: Client, host: Host) -> None:
    VmInterface.objects.update(facts={"of": "a newer panel"})
    assert GUEST in Page(viewer_client.get("/search/?q=web")).links


def test_it_refuses_who_has_no_role(stranger_client: Client, client: Client, db: None) -> None:
    assert stranger_client.get("/search/?q=web").status_code == 403
    assert client.get("/search/?q=web")["Location"].startswith("/login/")


def test_it_is_for_reading(operator_client: Client) -> None:
    assert operator_client.post("/search/", {"q": "web"}).status_code == 405
