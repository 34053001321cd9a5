"""One network's page, and what can be done with it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hosts.models import Host
from networks import operations
from networks.models import Change, Network
from team.models import User
from tests.panel.factories import WEB_GUEST, WEB_MAC, host_facts, make_host, web_guest
from tests.panel.pages import Page
from virtnet.actions import DestroyNetwork, SetNetworkAutostart, StartNetwork, UndefineNetwork
from virtnet.facts import NetworkFacts

ACTIONS = ("start", "stop", "autostart/on", "autostart/off", "undefine")


def network(name: str) -> Network:
    return Network.objects.get(name=name)


def address(name: str, action: str = "") -> str:
    return f"/networks/{network(name).pk}/{action}"


def stopped(name: str) -> None:
    """The host has said that the network does not run."""
    found = network(name)
    facts = found.host.read_facts()
    networks = [one.model_copy(update={"active": one.name != name and one.active}) for one in facts.networks]
    found.facts = next(one for one in networks if one.name == name).model_dump(mode="json")
    found.save()
    changed = facts.model_copy(update={"networks": tuple(networks), "domains": ()})
    Host.objects.update(facts=changed.model_dump(mode="json"))


def test_it_shows_a_network_of_the_panel(viewer_client: Client, host: Host) -> None:
    words = Page(viewer_client.get(address("lab"))).words
    assert "lab Host-only" in words
    assert "Subnet 192.168.150.0/24 Host's address 192.168.150.1 Bridge virbr1 Starts with host yes" in words
    assert "Made by the panel" in words
    assert "Guest → Internet no The host forwards nothing from or to this network." in words
    assert "No guest is plugged into it." in words


def test_it_shows_a_foreign_network_as_foreign(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(address("default")))
    assert "default NAT foreign" in page.words
    assert "to edit or undefine it, use the tool that made it" in page.words
    assert "192.168.122.50 52:54:00:00:00:01 web" in page.words
    assert f"/hosts/kvm1/guests/{WEB_GUEST}/" in page.links
    assert address("default", "stop/") in page.links
    assert address("default", "autostart/off/") in page.links
    assert address("default", "edit/") not in page.links
    assert address("default", "undefine/") not in page.links


def test_it_promises_nothing_about_a_forward_mode_that_is_none_of_the_modes(viewer_client: Client) -> None:
    route = NetworkFacts(name="routed", uuid=uuid4(), active=True, mode="route")
    make_host("kvm1", facts=host_facts(networks=(route,), domains=()))
    words = Page(viewer_client.get(address("routed"))).words
    assert "routed route foreign" in words
    assert "the panel promises nothing about it" in words


def edited(old: str, new: str) -> None:
    """The host has said that another tool changed the document of `lab`."""
    host = Host.objects.get()
    facts = host.read_facts()
    networks = tuple(
        one.model_copy(update={"xml": one.xml.replace(old, new)}) if one.name == "lab" else one
        for one in facts.networks
    )
    changed = facts.model_copy(update={"networks": networks})
    Host.objects.update(facts=changed.model_dump(mode="json"))


def test_a_foreign_edit_is_shown_on_its_page_and_on_the_host_s_with_the_way_back(
    operator_client: Client, host: Host
) -> None:
    for where in (address("lab"), "/hosts/kvm1/"):
        words = Page(operator_client.get(where)).words
        assert "Not as the panel made it" not in words
        assert "changed on the host" not in words
    edited("192.168.150.1", "192.168.151.1")
    page = Page(operator_client.get(address("lab")))
    assert "Not as the panel made it Found on the host; the panel changes none of it by itself." in page.words
    assert "Another tool has changed libvirt's document of lab. Edit the network and update it" in page.words
    host_page = Page(operator_client.get("/hosts/kvm1/"))
    assert "running changed on the host" in host_page.words
    assert f"{address('lab')}#drift" in host_page.links


def test_while_a_change_of_it_is_under_way_nothing_is_said_of_drift(
    operator_client: Client, operator: User, host: Host
) -> None:
    edited("192.168.150.1", "192.168.151.1")
    operations.set_network_autostart(network("lab"), False, by=operator)
    assert "Not as the panel made it" not in Page(operator_client.get(address("lab"))).words


def test_it_says_that_a_network_vanished_from_the_host(viewer_client: Client, host: Host) -> None:
    Network.objects.filter(name="lab").update(facts=None)
    page = Page(viewer_client.get(address("lab")))
    assert "somebody undefined it there" in page.words


def test_a_network_that_is_gone_keeps_its_history(operator_client: Client, operator: User, host: Host) -> None:
    operations.set_network_autostart(network("lab"), False, by=operator)
    Network.objects.filter(name="lab").update(facts=None, removed_at=timezone.now())
    page = Page(operator_client.get(address("lab")))
    assert "This network is gone. Its history stays." in page.words
    assert "Do not let the network lab start with the host olga" in page.words
    assert not [link for link in page.links if link.endswith(("stop/", "undefine/", "edit/"))]


def test_it_leads_to_a_change_that_is_under_way(viewer_client: Client, operator: User, host: Host) -> None:
    change = operations.set_network_autostart(network("lab"), False, by=operator)
    page = Page(viewer_client.get(address("lab")))
    assert "A change is under way:" in page.words
    assert f"/changes/{change.pk}/" in page.links


@pytest.mark.parametrize(
    ("name", "path", "sentence", "action"),
    [
        ("lab", "stop", "Stop the network lab?", DestroyNetwork),
        ("lab", "autostart/off", "Do not let the network lab start with the host?", SetNetworkAutostart),
        ("default", "autostart/on", "Let the network default start with the host?", SetNetworkAutostart),
        ("lab", "undefine", "Undefine the network lab?", UndefineNetwork),
        ("default", "start", "Start the network default?", StartNetwork),
    ],
)
def test_it_says_what_will_happen_and_then_asks_the_host(
    operator_client: Client, host: Host, name: str, path: str, sentence: str, action: type
) -> None:
    here = address(name, f"{path}/")
    page = Page(operator_client.get(here))
    assert sentence in page.words
    assert "What will be done on the host 1 " in page.words
    form = page.form(here)
    answer = operator_client.post(here, form.values)
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    assert isinstance(change.read_action(), action)
    assert change.network == network(name)


def test_it_counts_the_guests_that_stand_in_the_way(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(address("default", "stop/")))
    assert "Guests affected 1" in page.words
    assert f"web running, {WEB_MAC}" in page.words
    assert "Guests are plugged into default: web. Unplug their cards first." in page.words
    answer = operator_client.post(address("default", "stop/"))
    assert answer.status_code == 200
    assert "Unplug their cards first." in Page(answer).words
    assert not Change.objects.exists()


def test_it_refuses_to_undefine_a_network_with_a_stopped_guest(operator_client: Client) -> None:
    guest = web_guest("lab").model_copy(update={"state": "shut off"})
    make_host("kvm1", facts=host_facts(domains=(guest,)))
    page = Page(operator_client.post(address("lab", "undefine/")))
    assert "Guests are plugged into lab: web." in page.words


def test_a_stopped_network_offers_to_start(operator_client: Client, host: Host) -> None:
    stopped("lab")
    links = Page(operator_client.get(address("lab"))).links
    assert address("lab", "start/") in links
    assert address("lab", "stop/") not in links


def test_a_foreign_network_is_never_undefined(operator_client: Client, host: Host) -> None:
    here = address("default", "undefine/")
    assert operator_client.get(here).status_code == 404
    assert operator_client.post(here).status_code == 404
    assert not Change.objects.exists()


def test_a_spec_that_this_version_cannot_read_breaks_no_page(operator_client: Client, host: Host) -> None:
    Network.objects.filter(name="lab").update(spec={"mode": "host-only", "name": "lab", "bridge": "all"})
    lab = Network.objects.get(name="lab")
    assert operator_client.get(f"/networks/{lab.pk}/").status_code == 200
    assert operator_client.get(f"/networks/{lab.pk}/edit/").status_code == 404
    assert operator_client.get(f"/networks/{lab.pk}/undefine/").status_code == 404


def test_it_says_before_a_person_confirms_that_the_host_is_silent(operator_client: Client, silent_host: Host) -> None:
    page = Page(operator_client.get(address("lab", "autostart/off/")))
    assert "kvm2 is silent; its last report came 1 hour ago." in page.words
    operator_client.post(address("lab", "autostart/off/"))
    assert Change.objects.get().is_open


@pytest.mark.parametrize("path", ACTIONS)
def test_a_viewer_a_stranger_and_a_passer_by_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, host: Host, path: str
) -> None:
    here = address("lab", f"{path}/")
    for method in ("get", "post"):
        assert getattr(viewer_client, method)(here).status_code == 403
        assert getattr(stranger_client, method)(here).status_code == 404
        assert getattr(client, method)(here).status_code == 302
    assert not Change.objects.exists()


def test_a_viewer_sees_no_button(viewer_client: Client, host: Host) -> None:
    page = Page(viewer_client.get(address("lab")))
    assert not [link for link in page.links if link.startswith(address("lab")) and link != address("lab")]
    assert [form.action for form in page.forms] == ["/logout/", "/language/"]


def test_a_stranger_finds_nothing(stranger_client: Client, host: Host) -> None:
    assert stranger_client.get(address("lab")).status_code == 404
    assert stranger_client.get(f"/networks/{uuid4()}/").status_code == 404


def test_other_methods_are_refused(operator_client: Client, host: Host) -> None:
    assert operator_client.post(address("lab")).status_code == 405
    for path in ACTIONS:
        assert operator_client.put(address("lab", f"{path}/")).status_code == 405


def test_its_queries_are_bounded(
    viewer_client: Client, host: Host, operator: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for autostart in (False, True):
        operations.set_network_autostart(network("lab"), autostart, by=operator)
    here = address("lab")
    with django_assert_max_num_queries(8):
        viewer_client.get(here)
