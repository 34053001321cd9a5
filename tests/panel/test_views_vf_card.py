"""Giving a guest a VF, alone or paired with a virtio card."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client

from hosts.models import Host
from networks import operations
from networks.models import Change
from team.models import User
from tests.panel.factories import DB_GUEST, WEB_GUEST, WEB_MAC, host_facts, make_host, web_guest
from tests.panel.pages import Page
from virtnet.actions import AttachInterface
from virtnet.facts import DomainFacts, HostFacts
from virtnet.interface import InterfaceSpec
from virtnet.link_facts import Link, Vf
from virtnet.refs import DomainRef
from virtnet.vf_card import HostdevSource
from virtnet.vf_pair import AttachPair, DetachVfOfPair

GIVE = f"/hosts/kvm1/guests/{DB_GUEST}/vf/"
FREE = "52:54:00:00:00:99"
VF1 = "0000:01:10.2"


def with_vfs() -> HostFacts:
    """A host that may give VFs: the guest web owns VF 0, VF 1 is free."""
    vfs = tuple(Vf(index=index, pci_address=f"0000:01:10.{index * 2}", driver="igbvf") for index in range(2))
    facts = host_facts()
    card = web_guest().interfaces[0].model_copy(update={"type": "hostdev", "vf": "0000:01:10.0"})
    web = web_guest().model_copy(update={"interfaces": (card,)})
    pf = Link(name="ens1f0", index=9, totalvfs=8, numvfs=2, vfs=vfs)
    return facts.model_copy(
        update={
            "iommu": True,
            "vfio": True,
            "links": (*(one for one in facts.links if one.name != "eth1"), pf),
            "domains": (web, DomainFacts(name="db", uuid=DB_GUEST, state="shut off")),
        }
    )


@pytest.fixture
def host(db: None) -> Host:
    return make_host("kvm1", facts=with_vfs())


def typed(**about: str) -> dict[str, str]:
    return {"vf": VF1, "vlan": "", "mac": FREE, "network": "", "step": "ask", **about}


def test_it_offers_the_vfs_and_says_what_owning_one_means(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get(f"{GIVE}?vf={VF1}"))
    assert page.form(GIVE).values["vf"] == VF1
    assert page.form(GIVE).values["mac"].startswith("52:54:00:")
    assert "A guest with a VF alone cannot migrate." in page.words
    assert "Free VFs 1" in page.words
    assert GIVE in Page(operator_client.get(f"/hosts/kvm1/guests/{DB_GUEST}/")).links


def test_a_vf_alone_is_asked_for(operator_client: Client, host: Host) -> None:
    answer = operator_client.post(GIVE, typed(vlan="42"))
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    action = change.read_action()
    assert isinstance(action, AttachInterface)
    assert action.interface.source == HostdevSource(vf=VF1, vlan=42)
    assert (action.interface.mac, action.domain.uuid, change.domain_name) == (FREE, DB_GUEST, "db")


def test_a_pair_is_asked_for(operator_client: Client, host: Host) -> None:
    operator_client.post(GIVE, typed(network="lab"))
    change = Change.objects.get()
    action = change.read_action()
    assert isinstance(action, AttachPair)
    assert (action.network, action.vf.vf, action.mac) == ("lab", VF1, FREE)
    assert change.network is not None
    assert change.network.name == "lab"


def test_a_preview_shows_both_halves_and_sends_nothing(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.post(GIVE, typed(network="lab", step="preview")))
    assert '<teaming type="persistent" />' in page.text
    assert '<teaming type="transient"' in page.text
    by_typing = operator_client.post(GIVE, typed(), headers={"HX-Request": "true"})
    assert Page(by_typing).tags[0][1]["id"] == "ask"
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("vf", "", "This field is required."),
        ("vf", "0000:09:00.0", "Select a valid choice."),
        ("vf", "0000:01:10.0", "VF 0 is a card of web. Choose another VF."),
        ("vlan", "4095", "Use 4094 or less."),
        ("vlan", "x", "Use a whole number."),
        ("mac", "", "This field is required."),
        ("mac", "52:54", "A MAC address is six pairs of hexadecimal digits"),
        ("network", "nowhere", "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    operator_client: Client, host: Host, field: str, value: str, sentence: str
) -> None:
    answer = operator_client.post(GIVE, typed(**{field: value}))
    assert sentence in Page(answer).words
    assert f'id="id_{field}_errors"' in answer.content.decode()
    assert not Change.objects.exists()


def with_a_pair() -> HostFacts:
    """The VF of the guest web is half of a pair."""
    facts = with_vfs()
    web, db = facts.domains
    (vf,) = web.interfaces
    standby = vf.model_copy(update={"type": "network", "source": "lab", "vf": None, "teaming": "persistent"})
    halves = (standby, vf.model_copy(update={"teaming": "transient"}))
    return facts.model_copy(update={"domains": (web.model_copy(update={"interfaces": halves}), db)})


def test_of_a_pair_the_vf_alone_is_unplugged(operator_client: Client) -> None:
    make_host("kvm1", facts=with_a_pair())
    guest = f"/hosts/kvm1/guests/{WEB_GUEST}/"
    unplug = f"{guest}detach/{WEB_MAC}/vf/"
    shown = Page(operator_client.get(guest))
    assert "VF of a pair" in shown.words
    assert "virtio card of a pair" in shown.words
    assert unplug in shown.links
    assert f"{guest}detach/{WEB_MAC}/" in shown.links
    # Whoever wants another number of VFs finds the way that leaves the guest its network.
    assert unplug in Page(operator_client.get("/hosts/kvm1/sriov/ens1f0/numvfs/")).links
    page = Page(operator_client.get(unplug))
    assert "The guest goes on over the virtio card." in page.words
    assert "The guest loses this connection at once." not in page.words
    operator_client.post(unplug)
    assert Change.objects.get().read_action() == DetachVfOfPair(
        domain=DomainRef(uuid=WEB_GUEST, name="web"), mac=WEB_MAC
    )


def test_a_card_on_its_own_has_no_such_page(operator_client: Client, host: Host) -> None:
    unplug = f"/hosts/kvm1/guests/{WEB_GUEST}/detach/{WEB_MAC}/vf/"
    assert operator_client.get(unplug).status_code == 404


def test_a_host_that_lacks_something_says_so_before(operator_client: Client) -> None:
    make_host("kvm1")
    assert "The IOMMU is off, so a guest cannot own a VF." in Page(operator_client.get(GIVE)).words


def test_an_address_that_a_pair_is_getting_is_taken_over_the_fleet(operator: User, host: Host) -> None:
    other = make_host("kvm2", facts=with_vfs())
    db = with_vfs().domains[1]
    operations.attach_pair(other, db, HostdevSource(vf=VF1), "lab", FREE, by=operator)
    alone, somebody = InterfaceSpec(source=HostdevSource(vf=VF1), mac=FREE), db.model_copy(update={"uuid": WEB_GUEST})
    with pytest.raises(operations.OperationRefused, match=f"{FREE} is a card of db on kvm2 already"):
        operations.attach_interface(host, somebody, alone, by=operator)


def test_a_viewer_a_stranger_and_a_passer_by_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, host: Host
) -> None:
    for one, status in ((viewer_client, 403), (stranger_client, 404), (client, 302)):
        assert one.get(GIVE).status_code == status
        assert one.post(GIVE, typed()).status_code == status
    assert not Change.objects.exists()


def test_there_is_no_page_for_a_guest_that_is_not_there(operator_client: Client, host: Host) -> None:
    assert operator_client.get(f"/hosts/kvm1/guests/{uuid4()}/vf/").status_code == 404


def test_other_methods_are_refused(operator_client: Client, host: Host) -> None:
    assert operator_client.delete(GIVE).status_code == 405
