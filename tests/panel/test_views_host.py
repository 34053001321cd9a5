"""One host's page."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from hosts.models import Host, HostStatus
from networks import operations
from team.models import User
from tests.panel.factories import WEB_GUEST, WEB_MAC, host_facts, make_host, nat_spec
from tests.panel.pages import Page
from virtnet.facts import Filtering, HostFacts


def words_of(client: Client, path: str) -> str:
    return Page(client.get(path)).words


def test_it_shows_what_the_host_has(viewer_client: Client, host: Host) -> None:
    words = words_of(viewer_client, "/hosts/kvm1/")
    assert "eth0 card UP 10.77.0.11/24 52:54:00:aa:00:01 1500 1000 Mbit/s e1000e 0000:00:02.0" in words
    assert "PF, 1 of 8 VFs" in words
    assert "vnet0 port of virbr0 tun UP" in words
    assert "default foreign NAT 192.168.122.0/24 running yes 1" in words
    assert "lab Host-only 192.168.150.0/24 running yes 0" in words
    assert f"web running {WEB_MAC} default · 192.168.122.50" in words
    assert "Default route eth0" in words
    assert f"/hosts/kvm1/guests/{WEB_GUEST}/" in Page(viewer_client.get("/hosts/kvm1/")).links


def test_it_says_since_when_a_host_is_silent(viewer_client: Client, silent_host: Host) -> None:
    assert "its last report came 1 hour ago" in words_of(viewer_client, "/hosts/kvm2/")


def test_it_says_how_to_start_an_agent_that_has_never_reported(viewer_client: Client, host: Host) -> None:
    Host.objects.update(last_report_at=None, facts=None)
    assert "systemctl enable --now kvmagent" in words_of(viewer_client, "/hosts/kvm1/")


def test_a_network_that_is_being_made_is_said_to_change(viewer_client: Client, operator: User, host: Host) -> None:
    operations.define_network(host, nat_spec(), by=operator)
    assert "office NAT – changing" in words_of(viewer_client, "/hosts/kvm1/")
    assert "Make the network office" in words_of(viewer_client, "/hosts/kvm1/")


def test_an_operator_sees_what_can_be_done_and_a_viewer_does_not(
    operator_client: Client, viewer_client: Client, host: Host
) -> None:
    actions = {"/hosts/kvm1/networks/new/", "/hosts/kvm1/revoke/"}
    assert actions <= set(Page(operator_client.get("/hosts/kvm1/")).links)
    assert not actions & set(Page(viewer_client.get("/hosts/kvm1/")).links)


def test_a_revoked_host_offers_nothing_but_to_enrol_again(operator_client: Client) -> None:
    make_host("kvm1", status=HostStatus.REVOKED)
    links = Page(operator_client.get("/hosts/kvm1/")).links
    assert "/hosts/kvm1/enrolment/" in links
    assert "/hosts/kvm1/networks/new/" not in links


def test_a_host_without_anything_says_so(viewer_client: Client) -> None:
    make_host("bare", facts=HostFacts())
    words = words_of(viewer_client, "/hosts/bare/")
    assert "No networks" in words
    assert "No guests are defined on this host." in words


def test_htmx_gets_the_body_alone(viewer_client: Client, host: Host) -> None:
    answer = viewer_client.get("/hosts/kvm1/", headers={"HX-Request": "true"})
    assert Page(answer).tags[0][1]["id"] == "body"


@pytest.mark.parametrize("path", ["/hosts/kvm1/", "/hosts/nobody/"])
def test_a_stranger_finds_nothing(stranger_client: Client, host: Host, path: str) -> None:
    assert stranger_client.get(path).status_code == 404


def test_it_is_for_reading(operator_client: Client, host: Host) -> None:
    assert operator_client.post("/hosts/kvm1/").status_code == 405


def test_its_queries_do_not_grow_with_what_the_host_has(
    viewer_client: Client, host: Host, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(10):
        viewer_client.get("/hosts/kvm1/")


def test_it_names_what_may_surprise_with_the_fix(viewer_client: Client) -> None:
    filtering = Filtering(dropping=("ip filter FORWARD",), docker=True, br_netfilter=True)
    make_host(facts=host_facts().model_copy(update={"filtering": filtering}))
    words = words_of(viewer_client, "/hosts/kvm1/")
    assert "What may surprise you here 2" in words
    assert "Docker's FORWARD chain drops what it does not know: guests' packets too. iptables -I DOCKER-USER" in words
    assert "sysctl net.bridge.bridge-nf-call-iptables=0" in words


def test_a_host_without_surprises_has_no_such_list(viewer_client: Client, host: Host) -> None:
    assert "What may surprise you here" not in words_of(viewer_client, "/hosts/kvm1/")
