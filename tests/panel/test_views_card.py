"""The pages of one card's protection: its network filter, and what may come in to it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from uuid import uuid4

import pytest
from django.test import Client

from hosts.models import Host
from networks.models import Change
from tests.panel.factories import WEB_GUEST, WEB_MAC, host_facts, make_host, web_guest
from tests.panel.pages import Page
from virtnet.card_filter import CardFilter
from virtnet.facts import DomainFacts, InboundFacts
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.inbound import InboundPolicy, OpenPorts

WEB = f"/hosts/kvm1/guests/{WEB_GUEST}/"
FILTER = f"{WEB}cards/{WEB_MAC}/filter/"
INBOUND = f"{WEB}cards/{WEB_MAC}/inbound/"
NO_CARD = f"{WEB}cards/52:54:00:00:00:77"
CLEAN = {"filter": "clean-traffic", "addresses": "192.168.122.50", "gateway_mac": "", "dhcp_server": ""}
LISTED = {"let_in": "listed", "ports": "22/tcp\n8000-8100/tcp from 10.0.0.0/8", "ping": "on"}
POLICY = InboundPolicy(
    open=(
        OpenPorts(protocol="tcp", first=22, last=22),
        OpenPorts(protocol="tcp", first=8000, last=8100, sources=(IPv4Network("10.0.0.0/8"),)),
    )
)


def with_policy(policy: str, *, loaded: bool = True) -> DomainFacts:
    return web_guest().model_copy(update={"inbound": (InboundFacts(mac=WEB_MAC, policy=policy, loaded=loaded),)})


def direct(type_: str) -> DomainFacts:
    """The guest with a card that passes no bridge of the host."""
    card = web_guest().interfaces[0].model_copy(update={"type": type_, "source": "eth0"})
    return web_guest().model_copy(update={"interfaces": (card,)})


def test_the_guest_s_page_says_how_its_card_is_protected(viewer_client: Client, host: Host) -> None:
    assert f"{WEB_MAC} none everything" in Page(viewer_client.get(WEB)).words


def test_the_guest_s_page_shows_a_filter_and_a_policy(viewer_client: Client) -> None:
    guest = with_policy(POLICY.model_dump_json())
    card = guest.interfaces[0].model_copy(
        update={"filter": "clean-traffic", "filter_parameters": (("IP", "192.168.122.50"),)}
    )
    make_host(facts=host_facts(domains=(guest.model_copy(update={"interfaces": (card,)}),)))
    words = Page(viewer_client.get(WEB)).words
    assert "clean-traffic IP=192.168.122.50 only: 22/tcp, 8000-8100/tcp from 10.0.0.0/8, pings" in words
    assert "not in force" not in words


def test_a_policy_that_is_no_json_stands_in_nobody_s_way(operator_client: Client) -> None:
    other = InboundFacts(mac="52:54:00:00:00:99", policy="no json")
    make_host(facts=host_facts(domains=(web_guest().model_copy(update={"inbound": (other,)}),)))
    page = Page(operator_client.post(INBOUND, {**LISTED, "step": "preview"}))
    assert "tcp dport 22 accept" in page.words


def test_a_policy_whose_rules_are_gone_is_shown_as_not_in_force(viewer_client: Client) -> None:
    make_host(facts=host_facts(domains=(with_policy(POLICY.model_dump_json(), loaded=False),)))
    assert "not in force" in Page(viewer_client.get(WEB)).words


@pytest.mark.parametrize("policy", ["", "{}}", '{"open": "all"}', '{"open": [], "ping": "<b>"}'])
def test_a_policy_that_cannot_be_read_breaks_no_page(operator_client: Client, policy: str) -> None:
    make_host(facts=host_facts(domains=(with_policy(policy),)))
    assert "a policy that this panel cannot read" in Page(operator_client.get(WEB)).words
    for address in (FILTER, INBOUND):
        assert operator_client.get(address).status_code == 200


def test_it_offers_the_filters_of_the_host_and_says_what_they_do(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(FILTER))
    assert "none clean-traffic clean-traffic-gateway of-the-office" in page.words
    assert "The guest speaks IPv4 and ARP only, with its own MAC and IP address." in page.words
    assert "The guest cannot send with another MAC address." not in page.words  # this host lacks no-mac-spoofing


def test_it_sends_the_filter_that_was_chosen(operator_client: Client, host: Host) -> None:
    answer = operator_client.post(FILTER, {**CLEAN, "step": "ask"})
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, SetInterfaceFilter)
    assert (action.domain.uuid, action.mac) == (WEB_GUEST, WEB_MAC)
    assert action.filter == CardFilter(name="clean-traffic", addresses=(IPv4Address("192.168.122.50"),))


def test_no_filter_takes_the_one_of_now_off(operator_client: Client, host: Host) -> None:
    operator_client.post(FILTER, {**CLEAN, "filter": "", "step": "ask"})
    action = Change.objects.get().read_action()
    assert isinstance(action, SetInterfaceFilter)
    assert action.filter is None


def test_the_form_begins_with_what_the_card_bears(operator_client: Client) -> None:
    parameters = (("IP", "192.168.122.50"), ("IP", "192.168.122.51"), ("GATEWAY_MAC", "52:54:00:00:00:09"))
    card = (
        web_guest()
        .interfaces[0]
        .model_copy(update={"filter": "clean-traffic-gateway", "filter_parameters": parameters})
    )
    make_host(facts=host_facts(domains=(web_guest().model_copy(update={"interfaces": (card,)}),)))
    values = Page(operator_client.get(FILTER)).form(FILTER).values
    assert values["filter"] == "clean-traffic-gateway"
    assert values["addresses"] == "192.168.122.50, 192.168.122.51"
    assert values["gateway_mac"] == "52:54:00:00:00:09"


def test_a_preview_of_a_filter_shows_it_and_sends_nothing(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.post(FILTER, {**CLEAN, "step": "preview"}))
    assert "virsh update-device web card.xml --persistent" in page.words
    assert '<parameter name="IP" value="192.168.122.50" />' in page.text
    assert Page(operator_client.post(FILTER, CLEAN, headers={"HX-Request": "true"})).tags[0][1]["id"] == "ask"
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("filter", "none-such", "Select a valid choice."),
        ("filter", "clean-traffic-gateway", "needs GATEWAY_MAC. Fill in the MAC address of the guest's gateway."),
        ("filter", "of-the-office", "needs FLOOR. The panel cannot give it: choose another filter."),
        ("addresses", "192.168.122.500", "This value is not possible here."),
        ("gateway_mac", "52:54:00:zz:00:01", "six pairs of hexadecimal digits"),
        ("dhcp_server", "10.0.0", "Enter a valid IPv4 address."),
    ],
)
def test_it_says_what_is_wrong_with_a_filter(
    operator_client: Client, host: Host, field: str, value: str, sentence: str
) -> None:
    page = Page(operator_client.post(FILTER, {**CLEAN, field: value, "step": "ask"}))
    assert sentence in page.words
    assert not Change.objects.exists()


def test_it_sends_the_policy_that_was_typed(operator_client: Client, host: Host) -> None:
    answer = operator_client.post(INBOUND, {**LISTED, "step": "ask"})
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, SetInboundPolicy)
    assert (action.domain.uuid, action.mac, action.policy) == (WEB_GUEST, WEB_MAC, POLICY)


def test_everything_takes_the_policy_away(operator_client: Client) -> None:
    make_host(facts=host_facts(domains=(with_policy(POLICY.model_dump_json()),)))
    operator_client.post(INBOUND, {**LISTED, "let_in": "everything", "step": "ask"})
    action = Change.objects.get().read_action()
    assert isinstance(action, SetInboundPolicy)
    assert action.policy is None


def test_the_form_begins_with_the_policy_of_now(operator_client: Client) -> None:
    make_host(facts=host_facts(domains=(with_policy(POLICY.model_copy(update={"ping": False}).model_dump_json()),)))
    page = Page(operator_client.get(INBOUND))
    values = page.form(INBOUND).values
    assert values["let_in"] == "listed"
    assert "ping" not in values
    assert "22/tcp 8000-8100/tcp from 10.0.0.0/8" in page.words


def test_the_page_says_what_the_policy_does_not_cover(operator_client: Client, host: Host) -> None:
    words = Page(operator_client.get(INBOUND)).words
    assert "They need neither br_netfilter nor connection tracking on the bridge." in words
    assert "Frames that are neither IP nor ARP are dropped." in words


def test_a_preview_of_a_policy_shows_the_very_rules_and_sends_nothing(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.post(INBOUND, {**LISTED, "step": "preview"}))
    assert "nft -f kvmpanel-guests.nft" in page.words
    assert "ip saddr 10.0.0.0/8 tcp dport 8000-8100 accept" in page.words
    assert Page(operator_client.post(INBOUND, LISTED, headers={"HX-Request": "true"})).tags[0][1]["id"] == "ask"
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("let_in", "", "This field is required."),
        ("let_in", "some", "Select a valid choice."),
        ("ports", "22/tcp\nssh", "Line 2: “ssh” is not understood."),
        ("ports", "70000/udp", "Line 1: 70000/udp: a port is a number from 1 to 65535."),
        ("ports", "200-100/tcp", "Line 1: The range 200-100 runs backwards."),
        ("ports", "22/tcp from nowhere", "Line 1: nowhere is no subnet"),
        ("ports", "22/tcp from 10.0.0.1/8", "Line 1: 10.0.0.1/8 is no subnet"),
        ("ports", "\n".join(f"{port}/tcp" for port in range(1, 66)), "Open at most 64 lines."),
        ("ports", "22/tcp from " + ",".join(["10.0.0.0/8"] * 33), "name at most 32 sources"),
        ("ports", "9" * 4001, "at most 4000"),
    ],
)
def test_it_says_what_is_wrong_with_a_policy(
    operator_client: Client, host: Host, field: str, value: str, sentence: str
) -> None:
    page = Page(operator_client.post(INBOUND, {**LISTED, field: value, "step": "ask"}))
    assert sentence in page.words
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("type_", "why"),
    [
        ("direct", "The card hangs on eth0 and on no bridge of the host: its frames pass no firewall there."),
        ("hostdev", "The guest owns this card's hardware: its frames never pass the host's kernel."),
    ],
)
def test_a_card_that_passes_no_bridge_is_refused_with_the_reason(operator_client: Client, type_: str, why: str) -> None:
    make_host(facts=host_facts(domains=(direct(type_),)))
    guest = Page(operator_client.get(WEB))
    assert why in guest.words
    assert not {FILTER, INBOUND} & set(guest.links)
    for address, typed in ((FILTER, CLEAN), (INBOUND, LISTED)):
        assert why in Page(operator_client.post(address, {**typed, "step": "ask"})).words
    assert not Change.objects.exists()


def test_there_is_no_page_for_a_card_or_a_guest_that_is_not_there(operator_client: Client, host: Host) -> None:
    for address in (f"{NO_CARD}/filter/", f"{NO_CARD}/inbound/", FILTER.replace(str(WEB_GUEST), str(uuid4()))):
        assert operator_client.get(address).status_code == 404


@pytest.mark.parametrize("path", [FILTER, INBOUND])
def test_a_viewer_a_stranger_and_a_passer_by_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, host: Host, path: str
) -> None:
    for method in ("get", "post"):
        assert getattr(viewer_client, method)(path).status_code == 403
        assert getattr(stranger_client, method)(path).status_code == 404
        assert getattr(client, method)(path).status_code == 302
    assert not {FILTER, INBOUND} & set(Page(viewer_client.get(WEB)).links)
    assert not Change.objects.exists()


@pytest.mark.parametrize("path", [FILTER, INBOUND])
def test_other_methods_are_refused(operator_client: Client, host: Host, path: str) -> None:
    assert operator_client.put(path).status_code == 405
    assert operator_client.delete(path).status_code == 405


def test_the_very_same_request_is_refused_while_it_waits(operator_client: Client, host: Host) -> None:
    operator_client.post(INBOUND, {**LISTED, "step": "ask"})
    page = Page(operator_client.post(INBOUND, {**LISTED, "step": "ask"}))
    assert "This very change is waiting for kvm1 already." in page.words
    assert Change.objects.count() == 1
