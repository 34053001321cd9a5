"""One guest's page: its cards, a card more, a card less."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from hosts.models import Host
from networks import operations
from networks.models import Change, ChangeState, Network
from team.models import User
from tests.panel.factories import DB_GUEST, WEB_GUEST, WEB_MAC, host_facts, make_host, nat_spec, web_guest
from tests.panel.pages import Page
from virtnet.actions import AttachInterface, DetachInterface
from virtnet.direct import SourceMode
from virtnet.facts import DomainFacts, InterfaceFacts, NetworkFacts
from virtnet.interface import DirectSource, InterfaceSpec, NetworkSource

WEB = f"/hosts/kvm1/guests/{WEB_GUEST}/"
DB = f"/hosts/kvm1/guests/{DB_GUEST}/"
ATTACH = f"{WEB}attach/"
DETACH = f"{WEB}detach/{WEB_MAC}/"
FREE = "52:54:00:00:00:99"
ON_LAB = InterfaceSpec(source=NetworkSource(network="lab"), mac=FREE)


def test_it_shows_the_guest_and_its_cards(viewer_client: Client, host: Host) -> None:
    page = Page(viewer_client.get(WEB))
    assert "web running" in page.words
    assert f"{WEB_MAC} default NAT 192.168.122.50/24 (lease) virtio vnet0 now and after a restart" in page.words
    assert f"/networks/{Network.objects.get(name='default').pk}/" in page.links


def test_who_says_that_a_card_has_an_address_is_in_the_reader_s_language(viewer_client: Client, host: Host) -> None:
    page = Page(viewer_client.get(WEB, headers={"Accept-Language": "vi"}))
    assert "192.168.122.50/24 (địa chỉ cấp phát)" in page.words


def test_the_state_beside_its_name_is_refreshed_with_the_cards(viewer_client: Client, host: Host) -> None:
    part = Page(viewer_client.get(DB, headers={"HX-Request": "true"}))
    assert "db shut off" in part.words


def test_it_says_that_a_guest_without_a_card_reaches_nothing(viewer_client: Client, host: Host) -> None:
    words = Page(viewer_client.get(DB)).words
    assert "db shut off" in words
    assert "The guest has no card, so it reaches nothing." in words


def test_it_shows_its_history(viewer_client: Client, operator: User, host: Host) -> None:
    operations.attach_interface(host, web_guest(), ON_LAB, by=operator)
    assert "Plug web into the network lab olga" in Page(viewer_client.get(WEB)).words


def test_a_guest_that_is_gone_keeps_its_history(viewer_client: Client, operator: User, host: Host) -> None:
    operations.attach_interface(host, web_guest(), ON_LAB, by=operator)
    Host.objects.update(facts=host_facts(domains=()).model_dump(mode="json"))
    words = Page(viewer_client.get(WEB)).words
    assert "This guest is not on the host any more." in words
    assert "Plug web into the network lab" in words


def test_there_is_no_page_for_a_guest_that_never_was(viewer_client: Client, host: Host) -> None:
    assert viewer_client.get(f"/hosts/kvm1/guests/{uuid4()}/").status_code == 404


def test_it_offers_each_network_with_who_reaches_whom(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(ATTACH))
    assert "default NAT Internet: yes Host: yes LAN: yes LAN → guest: no Guest ↔ guest: yes" in page.words
    assert "lab Host-only Internet: no Host: yes LAN: no LAN → guest: no Guest ↔ guest: yes" in page.words
    form = page.form(ATTACH)
    assert form.values["mac"].startswith("52:54:00:")
    assert form.values["model"] == "virtio"


def test_a_network_that_its_host_has_not_told_of_yet_is_named(
    operator_client: Client, operator: User, host: Host
) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    told = "office was made a moment ago: it is offered as soon as its host has told of it."
    assert told not in Page(operator_client.get(ATTACH)).words, "it is not made yet"
    Change.objects.filter(pk=change.pk).update(state=ChangeState.APPLIED, finished_at=timezone.now())
    assert told in Page(operator_client.get(ATTACH)).words
    # It was seen there, and somebody has taken it away.
    Host.objects.filter(pk=host.pk).update(facts_at=timezone.now())
    assert told not in Page(operator_client.get(ATTACH)).words


def test_it_sends_the_card_that_was_chosen(operator_client: Client, host: Host) -> None:
    form = Page(operator_client.get(ATTACH)).form(ATTACH)
    answer = operator_client.post(ATTACH, {**form.values, "source": "network:lab", "model": "e1000e", "step": "ask"})
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, AttachInterface)
    assert action.interface == ON_LAB.model_copy(update={"mac": form.values["mac"], "model": "e1000e"})
    assert action.domain.uuid == WEB_GUEST


def test_a_preview_shows_the_card_and_sends_nothing(operator_client: Client, host: Host) -> None:
    typed = {"source": "network:lab", "model": "virtio", "mac": FREE, "step": "preview"}
    page = Page(operator_client.post(ATTACH, typed))
    assert "virsh attach-device web card.xml --persistent" in page.words
    assert f'<mac address="{FREE}" />' in page.text
    by_typing = operator_client.post(ATTACH, {**typed, "step": "ask"}, headers={"HX-Request": "true"})
    assert Page(by_typing).tags[0][1]["id"] == "ask"
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("source", "", "This field is required."),
        ("source", "network:nowhere", "Select a valid choice."),
        ("mac", "", "This field is required."),
        ("mac", "52:54:00:zz:00:01", "six pairs of hexadecimal digits"),
        ("mac", "01:54:00:00:00:01", "multicast"),
        ("mac", "52:54:00:00:00:99:00", "at most 17"),
        ("model", "ne2000", "Select a valid choice."),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    operator_client: Client, host: Host, field: str, value: str, sentence: str
) -> None:
    typed = {"source": "network:lab", "model": "virtio", "mac": FREE, field: value}
    page = Page(operator_client.post(ATTACH, typed))
    assert sentence in page.words
    if field != "mac":
        assert page.form(ATTACH).values["mac"] == FREE
    else:
        assert page.form(ATTACH).values == {**page.form(ATTACH).values, "source": "network:lab", "mac": value}
    assert not Change.objects.exists()


def test_it_refuses_a_mac_address_of_another_guest_of_the_fleet(operator_client: Client, host: Host) -> None:
    stray = web_guest()
    card = stray.interfaces[0].model_copy(update={"mac": FREE})
    elsewhere = stray.model_copy(update={"name": "mail", "uuid": uuid4(), "interfaces": (card,)})
    make_host("kvm9", facts=host_facts(domains=(elsewhere,)))
    page = Page(operator_client.post(ATTACH, {"source": "network:lab", "model": "virtio", "mac": FREE}))
    assert f"{FREE} is a card of mail on kvm9 already. Choose another MAC address." in page.words


def test_it_says_that_a_stopped_network_must_be_started_first(operator_client: Client) -> None:
    facts = host_facts()
    stopped = tuple(network.model_copy(update={"active": False}) for network in facts.networks)
    make_host("kvm1", facts=facts.model_copy(update={"networks": stopped}))
    assert "stopped: start it first" in Page(operator_client.get(ATTACH)).words
    page = Page(operator_client.post(ATTACH, {"source": "network:lab", "model": "virtio", "mac": FREE}))
    assert "The network lab is not running. Start the network first." in page.words


def test_it_says_what_unplugging_means_and_then_asks_for_it(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(DETACH))
    assert f"Unplug the card {WEB_MAC} from web?" in page.words
    assert "The guest loses this connection at once." in page.words
    form = page.form(DETACH)
    answer = operator_client.post(DETACH, form.values)
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, DetachInterface)
    assert (action.mac, action.domain.uuid) == (WEB_MAC, WEB_GUEST)


def test_the_very_same_request_is_refused_while_it_waits(operator_client: Client, host: Host) -> None:
    operator_client.post(DETACH)
    page = Page(operator_client.post(DETACH))
    assert "This very change is waiting for kvm1 already." in page.words
    assert Change.objects.count() == 1


def test_there_is_nothing_to_unplug_for_another_mac_address(operator_client: Client, host: Host) -> None:
    assert operator_client.get(f"{WEB}detach/{FREE}/").status_code == 404


@pytest.mark.parametrize("path", [ATTACH, DETACH])
def test_a_viewer_a_stranger_and_a_passer_by_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, host: Host, path: str
) -> None:
    for method in ("get", "post"):
        assert getattr(viewer_client, method)(path).status_code == 403
        assert getattr(stranger_client, method)(path).status_code == 404
        assert getattr(client, method)(path).status_code == 302
    assert not Change.objects.exists()


def test_a_viewer_sees_no_button(viewer_client: Client, host: Host) -> None:
    assert not {ATTACH, DETACH} & set(Page(viewer_client.get(WEB)).links)


def test_a_stranger_finds_nothing(stranger_client: Client, host: Host) -> None:
    assert stranger_client.get(WEB).status_code == 404


def test_other_methods_are_refused(operator_client: Client, host: Host) -> None:
    assert operator_client.post(WEB).status_code == 405
    assert operator_client.put(ATTACH).status_code == 405
    assert operator_client.delete(DETACH).status_code == 405


@pytest.mark.parametrize("spec", ["", "{}", "no JSON", '{"mode": "token-ring"}', '{"mode": "nat", "name": "<b>"}'])
def test_a_spec_of_the_host_that_cannot_be_read_breaks_no_page(operator_client: Client, spec: str) -> None:
    facts = host_facts()
    broken = tuple(network.model_copy(update={"spec": spec}) for network in facts.networks)
    host = make_host("kvm1")
    Host.objects.filter(pk=host.pk).update(facts=facts.model_copy(update={"networks": broken}).model_dump(mode="json"))
    Network.objects.filter(name="default").update(facts=broken[0].model_dump(mode="json"))
    default = Network.objects.get(name="default")
    for address in ("/", "/hosts/kvm1/", ATTACH, f"/networks/{default.pk}/", "/hosts/kvm1/networks/new/nat/"):
        assert operator_client.get(address).status_code == 200, address


def macvtap_guest(source_mode: str = "bridge", *more: InterfaceFacts) -> DomainFacts:
    """A running guest with a card straight on eth0, or on eth1 in passthrough."""
    link = "eth1" if source_mode == "passthrough" else "eth0"
    card = InterfaceFacts(mac=WEB_MAC, type="direct", source=link, source_mode=source_mode, target="macvtap0")
    return DomainFacts(name="web", uuid=WEB_GUEST, state="running", interfaces=(card, *more))


def host_with(*guests: DomainFacts, stopped: bool = False) -> Host:
    facts = host_facts(domains=guests)
    networks = tuple(one.model_copy(update={"active": not stopped}) for one in facts.networks)
    return make_host("kvm1", facts=facts.model_copy(update={"networks": networks}))


def test_a_vf_is_shown_by_its_pci_address_and_without_a_model_that_it_does_not_have(viewer_client: Client) -> None:
    card = InterfaceFacts(mac=FREE, type="network", source="fast", model="virtio", vf="0000:01:10.2")
    make_host("kvm1", facts=host_facts(domains=(web_guest().model_copy(update={"interfaces": (card,)}),)))
    words = Page(viewer_client.get(WEB)).words
    assert "VF 0000:01:10.2" in words
    assert "virtio" not in words


def test_a_card_straight_on_a_link_is_shown_with_its_link_source_mode_and_macvtap(viewer_client: Client) -> None:
    host_with(macvtap_guest("vepa"))
    words = Page(viewer_client.get(WEB)).words
    assert f"{WEB_MAC} eth0 macvtap, vepa the LAN's, not known here – macvtap0 now" in words


def test_one_click_gives_a_macvtap_guest_a_second_card_by_which_it_reaches_its_host(operator_client: Client) -> None:
    host_with(macvtap_guest())
    page = Page(operator_client.get(WEB))
    assert "Guest and host cannot reach each other over macvtap" in page.words
    assert "Add a second card on lab" in page.words
    answer = operator_client.post(ATTACH, page.form(ATTACH).values | {"step": "ask"})
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, AttachInterface)
    assert action.interface.source == ON_LAB.source
    assert action.interface.mac.startswith("52:54:00:")


def test_where_there_is_no_host_only_network_that_runs_it_leads_to_making_one(operator_client: Client) -> None:
    host_with(macvtap_guest(), stopped=True)
    page = Page(operator_client.get(WEB))
    assert "Make a network for it: Host-only" in page.words
    assert "/hosts/kvm1/networks/new/host-only/" in page.links


def test_a_viewer_reads_that_host_and_guest_cannot_talk_and_has_no_button(viewer_client: Client) -> None:
    host_with(macvtap_guest())
    page = Page(viewer_client.get(WEB))
    assert "Guest and host cannot reach each other over macvtap" in page.words
    assert "Add a second card" not in page.words


@pytest.mark.parametrize(
    "second",
    [
        InterfaceFacts(mac=FREE, type="network", source="lab"),
        InterfaceFacts(mac=FREE, type="network", source="default"),
        InterfaceFacts(mac=FREE, type="bridge", source="br0"),
    ],
    ids=lambda card: str(card.source),
)
def test_a_guest_that_has_a_second_card_is_not_told(operator_client: Client, second: InterfaceFacts) -> None:
    host_with(macvtap_guest("bridge", second))
    assert "Add a second card" not in Page(operator_client.get(WEB)).words


def test_a_card_on_a_macvtap_network_that_others_made_is_told_too(operator_client: Client) -> None:
    xml = "<network><name>voip</name><forward mode='private'><interface dev='eth0'/></forward></network>"
    voip = NetworkFacts(name="voip", uuid=uuid4(), active=True, mode="macvtap", devs=("eth0",), xml=xml)
    facts = host_facts(domains=(web_guest("voip"),))
    make_host("kvm1", facts=facts.model_copy(update={"networks": (*facts.networks, voip)}))
    page = Page(operator_client.get(WEB))
    assert f"{WEB_MAC} voip macvtap, private" in page.words
    assert "Add a second card on lab" in page.words


def test_it_says_before_the_choice_what_macvtap_means(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(ATTACH))
    before, _, after = page.words.partition("A link of this host (macvtap)")
    assert "A network of this host" in before
    assert after.startswith(
        " Guest and host cannot reach each other over macvtap: the link hands the guest's frames to"
    )
    assert "IPv6 and multicast need it." in after
    assert "only for guests that you trust" in after
    assert "Internet: depends Host: no LAN: yes LAN → guest: yes Guest ↔ guest: yes" in after


def test_it_offers_the_links_that_lead_out_and_says_why_not_the_others(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(ATTACH))
    offered = [given["value"] for tag, given in page.tags if given.get("name") == "source"]
    assert [value for value in offered if value.startswith("direct:")] == ["direct:eth0", "direct:eth1"]
    assert "eth0 (UP, 1 Gbit/s, MTU 1500, default route)" in page.words
    assert "Not offered: virbr0, virbr1 virbr0 virbr0 is a bridge. virbr1 virbr1 is a bridge." in page.words


def test_passthrough_is_not_offered_on_the_host_s_own_way_out(operator_client: Client, host: Host) -> None:
    typed = {"source": "direct:eth1", "mode": "passthrough", "model": "virtio", "mac": FREE, "step": "preview"}
    page = Page(operator_client.post(ATTACH, typed))
    offered = [given["value"] for tag, given in page.tags if given.get("name") == "source"]
    assert "direct:eth0" not in offered
    assert "eth0 carries this host's default route: a guest that owns it would cut the host off." in page.words
    assert "virsh attach-device web card.xml --persistent" in page.words
    assert "The guest takes the whole link from the host." in page.words


def test_passthrough_of_the_host_s_own_way_out_is_refused_with_the_remedy(operator_client: Client, host: Host) -> None:
    typed = {"source": "direct:eth0", "mode": "passthrough", "model": "virtio", "mac": FREE, "step": "ask"}
    page = Page(operator_client.post(ATTACH, typed))
    assert "Choose a link that the host does not use, or the source mode bridge." in page.words
    assert page.form(ATTACH).values["source"] == "direct:eth0"
    assert not Change.objects.exists()


def test_a_link_that_another_guest_has_in_passthrough_is_not_offered(operator_client: Client) -> None:
    host_with(macvtap_guest("passthrough"), DomainFacts(name="db", uuid=DB_GUEST, state="shut off"))
    page = Page(operator_client.get(f"{DB}attach/"))
    assert "direct:eth1" not in [given.get("value") for _, given in page.tags]
    assert f"eth1 carries the card {WEB_MAC} of web, and passthrough needs a link for itself." in page.words


@pytest.mark.parametrize("mode", ["bridge", "vepa", "private"])
def test_it_sends_a_card_straight_on_a_link(operator_client: Client, host: Host, mode: SourceMode) -> None:
    typed = {"source": "direct:eth0", "mode": mode, "trust_guest_rx_filters": "on", "model": "virtio", "mac": FREE}
    operator_client.post(ATTACH, {**typed, "step": "ask"})
    change = Change.objects.get()
    action = change.read_action()
    assert isinstance(action, AttachInterface)
    assert action.interface.source == DirectSource(link="eth0", mode=mode, trust_guest_rx_filters=True)
    assert str(change.title()) == f"Plug web into the link eth0 (macvtap, {mode})"
    assert change.network is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"source": "direct:eth9"}, "Select a valid choice."),
        ({"mode": "hub"}, "Select a valid choice."),
        ({"model": "e1000e"}, "Only a virtio card tells the host which frames its guest listens to."),
    ],
)
def test_it_says_what_is_wrong_with_a_card_on_a_link(
    operator_client: Client, host: Host, wrong: dict[str, str], sentence: str
) -> None:
    typed = {"source": "direct:eth0", "mode": "bridge", "trust_guest_rx_filters": "on", "model": "virtio", "mac": FREE}
    assert sentence in Page(operator_client.post(ATTACH, typed | wrong)).words
    assert not Change.objects.exists()


def test_a_link_to_the_page_chooses_beforehand(operator_client: Client, host: Host) -> None:
    assert Page(operator_client.get(f"{ATTACH}?source=network:lab")).form(ATTACH).values["source"] == "network:lab"
    assert operator_client.get(f"{ATTACH}?source=nowhere").status_code == 200


def test_a_card_of_the_first_version_is_still_told_in_the_history(viewer_client: Client, operator: User) -> None:
    host = make_host("kvm1")
    change = operations.attach_interface(host, web_guest(), ON_LAB, by=operator)
    former = {"network": "lab", "mac": FREE, "model": "virtio"}
    Change.objects.filter(pk=change.pk).update(action=change.action | {"interface": former})
    assert "Plug web into the network lab olga" in Page(viewer_client.get(WEB)).words
    assert "Plug web into the network lab" in Page(viewer_client.get(f"/changes/{change.pk}/")).words
