"""Making a network: a mode, its form, the preview, and what is sent."""

from __future__ import annotations

import pytest
from django.test import Client

from hosts.models import Host, HostStatus
from networks.models import Change, ChangeState, Network
from team.models import Role
from tests.panel.conftest import make_user
from tests.panel.factories import host_facts, lab_spec, make_host
from tests.panel.pages import Page
from virtnet.actions import DefineNetwork, UpdateNetwork
from virtnet.link_facts import Link, Vf
from virtnet.modes import MODES
from virtnet.modes.nat import Nat
from virtnet.modes.sriov import Sriov
from virtnet.text import text

NEW = "/hosts/kvm1/networks/new/nat/"
FIRST = {"first_lease": "192.168.150.10"}


def lab() -> Network:
    return Network.objects.get(name="lab")


def test_it_offers_every_mode(operator_client: Client, host: Host) -> None:
    links = Page(operator_client.get("/hosts/kvm1/networks/new/")).links
    assert {f"/hosts/kvm1/networks/new/{mode}/" for mode in MODES} <= set(links)


def test_it_marks_a_mode_for_which_the_host_lacks_something(operator_client: Client, host: Host) -> None:
    missing = "No card of this host offers VFs (SR-IOV)."
    assert missing not in Page(operator_client.get("/hosts/kvm1/networks/new/")).words
    facts = host_facts()
    make_host("kvm2", facts=facts.model_copy(update={"links": facts.links[:2]}))
    for page in ("/hosts/kvm2/networks/new/", "/hosts/kvm2/networks/new/sriov/"):
        assert missing in Page(operator_client.get(page)).words
    assert missing not in Page(operator_client.get("/hosts/kvm2/networks/new/nat/")).words


@pytest.mark.parametrize("mode", MODES)
def test_it_explains_the_mode_beside_the_form(operator_client: Client, host: Host, mode: str) -> None:
    page = Page(operator_client.get(f"/hosts/kvm1/networks/new/{mode}/"))
    spec_class = MODES[mode]
    for sentence in (spec_class.how, spec_class.suits, *spec_class.good, *spec_class.bad):
        assert str(sentence) in page.words
    assert spec_class.model_fields.keys() - {"mode"} <= page.form(f"/hosts/kvm1/networks/new/{mode}/").values.keys() | {
        "trust_guest_rx_filters",  # a box that is not ticked sends nothing
        "vfs",
        "stp",
    }


@pytest.mark.parametrize("mode", ["nat", "host-only"])
def test_what_it_suggests_can_be_sent_as_it_is(operator_client: Client, host: Host, mode: str) -> None:
    address = f"/hosts/kvm1/networks/new/{mode}/"
    form = Page(operator_client.get(address)).form(address)
    answer = operator_client.post(address, {**form.values, "step": "ask"})
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, DefineNetwork)
    assert action.spec.mode == mode
    assert action.spec.name == form.values["name"]
    assert change.state == ChangeState.QUEUED
    assert change.by.get_username() == "olga"


def test_it_sends_what_was_typed(operator_client: Client, host: Host) -> None:
    typed = {"name": "office", "bridge": "virbr9", "gateway": "10.9.0.1/16"}
    operator_client.post(NEW, {**typed, "first_lease": "10.9.1.1", "last_lease": "10.9.1.9"})
    action = Change.objects.get().read_action()
    assert isinstance(action, DefineNetwork)
    assert action.spec == Nat.model_validate({**typed, "first_lease": "10.9.1.1", "last_lease": "10.9.1.9"})


def test_a_preview_shows_each_step_and_sends_nothing(operator_client: Client, host: Host) -> None:
    form = Page(operator_client.get(NEW)).form(NEW)
    assert [(button["name"], button["value"]) for button in form.buttons if "name" in button] == [
        ("step", "ask"),
        ("step", "preview"),
    ]
    page = Page(operator_client.post(NEW, {**form.values, "name": "office", "step": "preview"}))
    assert "Define the network office." in page.words
    assert "virsh net-start office" in page.words
    assert "<name>office</name>" in page.text
    assert "masquerade" in page.text
    assert not Change.objects.exists()


def test_typing_checks_and_never_sends(operator_client: Client, host: Host) -> None:
    form = Page(operator_client.get(NEW)).form(NEW)
    answer = operator_client.post(NEW, {**form.values, "step": "ask"}, headers={"HX-Request": "true"})
    page = Page(answer)
    assert page.tags[0][1]["id"] == "spec"
    assert page.tags[0][1]["hx-post"] == NEW
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "This field is required."),
        ("name", "Office 1", "small letters, digits and hyphens"),
        ("name", "default", "This host has a network default already. Choose another name."),
        ("bridge", "a-name-that-is-too-long", "longer than 15 characters"),
        ("bridge", "virbr0", "virbr0 is the bridge of the network default. Choose another bridge name."),
        ("bridge", "eth0", "This host has a link eth0 already."),
        ("gateway", "all", "Use an IPv4 address with its prefix, such as 192.168.77.1/24."),
        ("gateway", "192.168.122.1/24", "overlaps 192.168.122.0/24 of the network default. Choose another subnet."),
        ("gateway", "10.77.0.9/24", "overlaps 10.77.0.0/24 of the host's link eth0."),
        ("first_lease", "x", "Use an IPv4 address, such as 192.168.77.10."),
        ("last_lease", "192.168.1.1", "192.168.1.1 is not in"),
        ("last_lease", "", "Give both ends of the range, or neither."),
    ],
)
def test_it_says_beside_the_field_what_is_wrong_and_keeps_all_that_was_typed(
    operator_client: Client, host: Host, field: str, value: str, sentence: str
) -> None:
    form = Page(operator_client.get(NEW)).form(NEW)
    typed = {**form.values, field: value}
    if field == "gateway":  # a range of another subnet would be said first
        typed |= {"first_lease": "", "last_lease": ""}
    page = Page(operator_client.post(NEW, typed))
    errors = next(given for tag, given in page.tags if given.get("id") == f"id_{field}_errors")
    assert errors["role"] == "alert"
    assert sentence in page.words
    kept = page.form(NEW).values
    assert {name: kept[name] for name in typed if name != "csrfmiddlewaretoken"} == {
        name: text for name, text in typed.items() if name != "csrfmiddlewaretoken"
    }
    assert not Change.objects.exists()


def test_a_name_that_somebody_else_takes_meanwhile_is_said_beside_the_name(operator_client: Client, host: Host) -> None:
    form = Page(operator_client.get(NEW)).form(NEW)
    operator_client.post(NEW, form.values)
    page = Page(operator_client.post(NEW, form.values))
    assert "is there or on its way. Choose another name." in page.words
    assert Change.objects.count() == 1


def test_what_stands_in_the_way_on_the_host_and_belongs_to_no_field_is_said_above(
    operator_client: Client, host: Host
) -> None:
    address = "/hosts/kvm1/networks/new/sriov/"
    page = Page(operator_client.post(address, {"name": "fast", "pf": "eth1", "numvfs": "4"}))
    assert "The IOMMU is off, so a guest cannot own a VF." in page.words
    assert page.form(address).values["pf"] == "eth1"


def test_a_pool_hands_out_the_vfs_that_are_ticked(operator_client: Client) -> None:
    vfs = tuple(Vf(index=index, pci_address=f"0000:01:10.{index * 2}", driver="igbvf") for index in range(3))
    pf = Link(name="ens1f0", index=9, totalvfs=8, numvfs=3, vfs=vfs)
    facts = host_facts()
    make_host("kvm3", facts=facts.model_copy(update={"iommu": True, "links": (*facts.links, pf)}))
    address = "/hosts/kvm3/networks/new/sriov/"
    page = Page(operator_client.get(address))
    assert "VF 1 of ens1f0 (0000:01:10.2, igbvf)" in page.words
    sent = {"name": "fast", "pf": "ens1f0", "numvfs": "3", "vfs": ["0000:01:10.0", "0000:01:10.2"], "step": "ask"}
    refused = Page(operator_client.post(address, {**sent, "vfs": ["0000:09:00.0"]}))
    assert "0000:09:00.0 is not one of the available choices" in refused.words
    operator_client.post(address, sent)
    action = Change.objects.get().read_action()
    assert isinstance(action, DefineNetwork)
    assert action.spec == Sriov(name="fast", pf="ens1f0", numvfs=3, vfs=("0000:01:10.0", "0000:01:10.2"))


def test_it_says_before_a_person_confirms_that_the_host_is_silent(operator_client: Client, silent_host: Host) -> None:
    page = Page(operator_client.get("/hosts/kvm2/networks/new/nat/"))
    assert "kvm2 is silent; its last report came 1 hour ago. The change waits for it and expires" in page.words


def test_it_says_before_a_person_confirms_that_libvirt_is_down(operator_client: Client) -> None:
    make_host("kvm1", facts=host_facts().model_copy(update={"libvirt_error": text("libvirtd does not answer.")}))
    assert "libvirtd does not answer." in Page(operator_client.get(NEW)).words


def test_it_refuses_a_host_that_is_revoked_and_says_why(operator_client: Client) -> None:
    make_host("kvm1", status=HostStatus.REVOKED)
    form = Page(operator_client.get(NEW)).form(NEW)
    assert "kvm1 takes no orders: it is revoked." in Page(operator_client.post(NEW, form.values)).words


def test_it_edits_a_network_of_the_panel(operator_client: Client, host: Host) -> None:
    address = f"/networks/{lab().pk}/edit/"
    form = Page(operator_client.get(address)).form(address)
    assert form.values["host_address"] == "192.168.150.1/24"
    sent = {**form.values, "first_lease": "192.168.150.10", "last_lease": "192.168.150.20", "step": "ask"}
    change = Page(operator_client.post(address, sent, follow=True))
    action = Change.objects.get().read_action()
    assert isinstance(action, UpdateNetwork)
    assert action.spec.name == "lab"
    assert action.spec.model_dump(mode="json") == {
        **lab_spec().model_dump(mode="json"),
        "first_lease": "192.168.150.10",
        "last_lease": "192.168.150.20",
    }
    assert "Update the network lab" in change.words


def test_who_edits_what_somebody_else_has_changed_meanwhile_is_told_before_it_is_taken_back(
    operator_client: Client, host: Host
) -> None:
    other_client, network = Client(), lab()
    other_client.force_login(make_user("otto", Role.OPERATOR))
    address = f"/networks/{network.pk}/edit/"
    mine, theirs = (Page(client.get(address)).form(address).values for client in (operator_client, other_client))
    mine, theirs = (
        {**mine, "last_lease": "192.168.150.50", **FIRST},
        {**theirs, "last_lease": "192.168.150.90", **FIRST},
    )
    other_client.post(address, {**theirs, "step": "ask"})
    told = "otto has changed lab since you opened this form. Look at the network's history."
    for step in ("preview", "ask"):
        page = Page(operator_client.post(address, {**mine, "step": step}))
        assert told in page.words
        assert page.form(address).values["last_lease"] == "192.168.150.50"
    assert Change.objects.count() == 1
    again = page.form(address).values
    operator_client.post(address, {**again, "step": "ask"})
    wanted = [change.read_action() for change in Change.objects.order_by("created_at")]
    assert [str(one.spec.last_lease) for one in wanted] == ["192.168.150.90", "192.168.150.50"]  # type: ignore[union-attr]


def test_who_opens_the_form_while_a_change_of_it_goes_on_is_told(operator_client: Client, host: Host) -> None:
    address = f"/networks/{lab().pk}/edit/"
    for _ in range(2):
        values = Page(operator_client.get(address)).form(address).values
        page = Page(
            operator_client.post(
                address, {**values, "last_lease": "192.168.150.50", **FIRST, "step": "ask"}, follow=True
            )
        )
    assert "olga has changed lab since you opened this form." in page.words
    Change.objects.update(state="applied")
    values = Page(operator_client.get(address)).form(address).values
    operator_client.post(address, {**values, "last_lease": "192.168.150.60", **FIRST, "step": "ask"})
    assert Change.objects.count() == 2


def test_an_edit_that_became_of_nothing_is_in_nobodys_way(operator_client: Client, host: Host) -> None:
    address = f"/networks/{lab().pk}/edit/"
    values = Page(operator_client.get(address)).form(address).values
    for _ in range(2):
        operator_client.post(address, {**values, "last_lease": "192.168.150.50", **FIRST, "step": "ask"})
        Change.objects.update(state="refused")
    assert Change.objects.count() == 2


def test_an_edit_cannot_change_the_name(operator_client: Client, host: Host) -> None:
    address = f"/networks/{lab().pk}/edit/"
    form = Page(operator_client.get(address)).form(address)
    operator_client.post(address, {**form.values, "name": "other", "last_lease": "", "step": "ask"})
    action = Change.objects.get().read_action()
    assert isinstance(action, UpdateNetwork)
    assert action.spec.name == "lab"


def test_a_preview_of_an_edit_sends_nothing(operator_client: Client, host: Host) -> None:
    address = f"/networks/{lab().pk}/edit/"
    form = Page(operator_client.get(address)).form(address)
    page = Page(operator_client.post(address, {**form.values, "host_address": "10.5.5.1/24", "step": "preview"}))
    assert "10.5.5.1" in page.text
    assert "Update the network lab." in page.words
    assert not Change.objects.exists()


def test_a_foreign_network_is_not_edited(operator_client: Client, host: Host) -> None:
    default = Network.objects.get(name="default")
    assert operator_client.get(f"/networks/{default.pk}/edit/").status_code == 404


def test_there_is_no_form_for_another_mode(operator_client: Client, host: Host) -> None:
    assert operator_client.get("/hosts/kvm1/networks/new/token-ring/").status_code == 404


def test_a_viewer_a_stranger_and_a_passer_by_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, host: Host
) -> None:
    for address in ("/hosts/kvm1/networks/new/", NEW, f"/networks/{lab().pk}/edit/"):
        assert viewer_client.get(address).status_code == 403
        assert stranger_client.get(address).status_code == 404
        assert client.get(address).status_code == 302
    sent = {"name": "office", "bridge": "virbr9", "gateway": "10.9.0.1/16"}
    assert viewer_client.post(NEW, sent).status_code == 403
    assert stranger_client.post(NEW, sent).status_code == 404
    assert not Change.objects.exists()


def test_other_methods_are_refused(operator_client: Client, host: Host) -> None:
    assert operator_client.post("/hosts/kvm1/networks/new/").status_code == 405
    assert operator_client.delete(NEW).status_code == 405
    assert operator_client.put(f"/networks/{lab().pk}/edit/").status_code == 405


MACVTAP = "/hosts/kvm1/networks/new/macvtap/"


def uplinks(page: Page) -> list[str]:
    """What the choice of the uplink offers."""
    start = page.tags.index(next(one for one in page.tags if one[1].get("id") == "id_uplink"))
    names: list[str] = []
    for tag, given in page.tags[start + 1 :]:
        if tag != "option":
            break
        names.append(given["value"])
    return names


def test_it_offers_links_that_fit_and_says_why_not_the_others(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(MACVTAP))
    assert uplinks(page) == ["", "eth0", "eth1"]
    assert "Not offered: virbr0, virbr1 virbr0 virbr0 is a bridge. virbr1 virbr1 is a bridge." in page.words


def test_what_is_offered_follows_the_other_fields(operator_client: Client, host: Host) -> None:
    typed = {"name": "voip", "uplink": "", "source_mode": "passthrough", "step": "preview"}
    page = Page(operator_client.post(MACVTAP, typed))
    assert uplinks(page) == ["", "eth1"]
    assert "eth0 carries this host's default route: a guest that owns it would cut the host off." in page.words


def test_a_link_that_is_not_offered_is_refused_with_the_remedy_and_stays_chosen(
    operator_client: Client, host: Host
) -> None:
    typed = {"name": "voip", "uplink": "eth0", "source_mode": "passthrough", "step": "ask"}
    page = Page(operator_client.post(MACVTAP, typed))
    assert "Choose a link that the host does not use, or the source mode bridge." in page.words
    assert page.form(MACVTAP).values["uplink"] == "eth0"
    assert not Change.objects.exists()


@pytest.mark.parametrize("source_mode", ["bridge", "vepa", "private"])
def test_it_says_before_the_choice_that_host_and_guest_cannot_talk(
    operator_client: Client, host: Host, source_mode: str
) -> None:
    typed = {"name": "voip", "uplink": "eth1", "source_mode": source_mode, "step": "preview"}
    for page in (Page(operator_client.get(MACVTAP)), Page(operator_client.post(MACVTAP, typed))):
        assert "Guest and host cannot reach each other over macvtap: the link hands the guest's frames to" in page.words
    assert "Guest and host cannot" in Page(operator_client.get("/hosts/kvm1/networks/new/")).words


def test_the_network_s_own_uplink_is_offered_when_it_is_edited(operator_client: Client, host: Host) -> None:
    typed = {"name": "voip", "uplink": "eth1", "source_mode": "passthrough", "step": "ask"}
    operator_client.post(MACVTAP, typed)
    network = Network.objects.get(name="voip")
    page = Page(operator_client.get(f"/networks/{network.pk}/edit/"))
    assert page.form(f"/networks/{network.pk}/edit/").values["uplink"] == "eth1"
