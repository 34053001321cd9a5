"""The ledger of a host's VFs, another number of VFs, and the attributes of one."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from hosts.models import Host
from networks import operations
from networks.found import note_facts
from networks.models import Change, VfMac
from team.models import User
from tests.panel.factories import host_facts, make_host
from tests.panel.pages import Page
from tests.virtnet.samples import owner
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.link_facts import Link, Vf
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes

LEDGER = "/hosts/kvm1/sriov/"
NUMVFS = f"{LEDGER}ens1f0/numvfs/"
VF = f"{LEDGER}ens1f0/vfs/1/"
FREE = "52:54:00:00:00:99"


def with_a_pf(**about: Any) -> HostFacts:
    """A host with a PF of four VFs: VF 0 is a guest's, VF 1 is not as it is wanted."""
    vfs = (
        Vf(index=0, pci_address="0000:01:10.0", driver="vfio-pci", mac="52:54:00:00:00:42", spoofchk=True),
        Vf(
            index=1,
            pci_address="0000:01:10.2",
            driver="igbvf",
            link="ens1f0v1",
            vlan=7,
            spoofchk=True,
            max_tx_rate=100,
            wanted=VfAttributes(vlan=42),
        ),
        Vf(index=2, pci_address="0000:01:10.4", driver="igbvf"),
        Vf(index=3, pci_address="0000:01:10.6", driver="igbvf", iommu_group=9, group_devices=2),
    )
    pf = Link(
        name="ens1f0",
        index=9,
        driver="igb",
        pci_address="0000:01:00.0",
        numa_node=1,
        totalvfs=8,
        numvfs=4,
        vfs=vfs,
        wanted_numvfs=8,
    )
    facts = host_facts(domains=(owner("web1", "0000:01:10.0"),))
    return facts.model_copy(update={"iommu": True, "vfio": True, "links": (*facts.links, pf), **about})


@pytest.fixture
def host(db: None) -> Host:
    return make_host("kvm1", facts=with_a_pf())


def test_the_ledger_shows_each_vf_its_guest_and_what_differs(viewer_client: Client, host: Host) -> None:
    words = Page(viewer_client.get(LEDGER)).words
    assert "ens1f0 4 of 8 VFs" in words
    assert "Driver igb PCI address 0000:01:00.0 NUMA node 1" in words
    assert "After the next start 8 VFs differs from now" in words
    assert "VF 0 web1 52:54:00:00:00:42" in words
    assert "VF 1 differs free – 7 wanted: 42 on" in words
    assert "IOMMU group 9 2 devices" in words
    assert "VF 3 of ens1f0 shares an IOMMU group" in words


def test_a_free_vf_of_a_network_says_so(viewer_client: Client) -> None:
    facts = with_a_pf()
    pool = NetworkFacts(name="fast", uuid=facts.networks[0].uuid, active=True, mode="sriov", vfs=("0000:01:10.4",))
    make_host("kvm1", facts=facts.model_copy(update={"networks": (pool,)}))
    page = Page(viewer_client.get(LEDGER))
    assert "VF 2 free, in a network" in page.words
    assert "Networks fast" in page.words


def test_a_host_without_a_pf_learns_what_is_missing(viewer_client: Client) -> None:
    bare = HostFacts(cpu="GenuineIntel")
    make_host("kvm1", facts=bare)
    words = Page(viewer_client.get(LEDGER)).words
    assert "No PF on this host" in words
    assert "No card of this host offers VFs (SR-IOV)." in words
    assert "add intel_iommu=on iommu=pt to the kernel's command line, and reboot." in words


def test_a_pf_without_vfs_says_what_comes_next(operator_client: Client) -> None:
    make_host("kvm1", facts=HostFacts(links=(Link(name="eth1", index=3, totalvfs=8, numvfs=0),)))
    page = Page(operator_client.get(LEDGER))
    assert "eth1 0 of 8 VFs" in page.words
    assert "It has no VFs yet." in page.words
    assert f"{LEDGER}eth1/numvfs/" in page.links


def test_the_host_s_page_leads_there(viewer_client: Client, host: Host) -> None:
    page = Page(viewer_client.get("/hosts/kvm1/"))
    assert LEDGER in page.links
    assert "ens1f0 igb 4 of 8 VFs web1 (VF 0) none differs" in page.words


def test_htmx_gets_the_body_alone(viewer_client: Client, host: Host) -> None:
    assert Page(viewer_client.get(LEDGER, headers={"HX-Request": "true"})).tags[0][1]["id"] == "body"


def test_the_number_is_asked_for(operator_client: Client) -> None:
    make_host("kvm1", facts=with_a_pf(domains=()))
    page = Page(operator_client.get(NUMVFS))
    form = page.form(NUMVFS)
    assert form.values["numvfs"] == "4"
    # Nothing is asked for yet.
    assert "What will be done on the host" not in page.words
    answer = operator_client.post(NUMVFS, {**form.values, "numvfs": "8", "step": "preview"})
    assert "What will be done on the host" in Page(answer).words
    answer = operator_client.post(NUMVFS, {**form.values, "numvfs": "8", "step": "ask"})
    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}/"
    assert change.read_action() == SetNumvfs(pf="ens1f0", numvfs=8)
    event = AuditEvent.objects.get(action="set-numvfs")
    assert (event.object_type, event.object_name) == ("link", "ens1f0")


def test_what_the_host_s_own_network_goes_through_is_said_before(operator_client: Client) -> None:
    facts = with_a_pf(domains=(), way_to_panel="ens1f0")
    make_host("kvm1", facts=facts)
    before = Page(operator_client.get(NUMVFS)).words
    assert "This could cut the host off" not in before
    assert "with igb its carrier is gone for about 2 s." in before
    words = Page(operator_client.post(NUMVFS, {"numvfs": "8", "step": "preview"})).words
    assert "with igb its carrier is gone for about 2 s." in words
    assert "ens1f0 carries the way to the panel." in words
    assert "The host puts itself back unless it reaches the panel again within 60 s." in words


def test_a_guest_in_the_way_is_named_and_can_be_unplugged_from_there(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.post(NUMVFS, {"numvfs": "8", "step": "ask"}))
    assert "Guests own VFs of ens1f0, and another number destroys all of them: web1 (VF 0)." in page.words
    assert [link for link in page.links if link.endswith("/detach/52:54:00:00:00:42/")]
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "This field is required."),
        ("many", "Use a whole number."),
        ("-1", "greater than or equal to 0"),
        ("9", "ens1f0 has at most 8 VFs (sriov_totalvfs). Choose 8 or fewer."),
    ],
)
def test_a_wrong_number_is_said_beside_the_field(operator_client: Client, typed: str, sentence: str) -> None:
    make_host("kvm1", facts=with_a_pf(domains=()))
    page = Page(operator_client.post(NUMVFS, {"numvfs": typed, "step": "ask"}))
    assert sentence in page.words
    assert not Change.objects.exists()


def test_a_preview_shows_the_commands_and_sends_nothing(operator_client: Client) -> None:
    make_host("kvm1", facts=with_a_pf(domains=()))
    page = Page(operator_client.post(NUMVFS, {"numvfs": "8", "step": "preview"}))
    assert "echo 8 > /sys/class/net/ens1f0/device/sriov_numvfs" in page.words
    typing = operator_client.post(NUMVFS, {"numvfs": "8", "step": "ask"}, headers={"HX-Request": "true"})
    assert Page(typing).tags[0][1]["id"] == "ask"
    assert not Change.objects.exists()


def test_the_attributes_are_asked_for_and_empty_ones_want_nothing(operator_client: Client, host: Host) -> None:
    form = Page(operator_client.get(VF)).form(VF)
    assert (form.values["vlan"], form.values["trust"]) == ("42", "")
    sent = {**form.values, "mac": FREE, "vlan": "5", "qos": "3", "trust": "on", "spoofchk": "off", "step": "ask"}
    operator_client.post(VF, {**sent, "link_state": "enable", "max_tx_rate": "100"})
    assert Change.objects.get().read_action() == SetVfAttributes(
        pf="ens1f0",
        vf=1,
        attributes=VfAttributes(
            mac=FREE, vlan=5, qos=3, trust=True, spoofchk=False, link_state="enable", max_tx_rate=100
        ),
    )


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("mac", "52:54", "A MAC address is six pairs of hexadecimal digits"),
        ("vlan", "4095", "Use 4094 or less."),
        ("vlan", "x", "Use a whole number."),
        ("qos", "8", "Use 7 or less."),
        ("qos", "3", "A priority stands in a VLAN tag: choose a VLAN tag too."),
        ("spoofchk", "maybe", "Select a valid choice."),
        ("trust", "maybe", "Select a valid choice."),
        ("link_state", "up", "Select a valid choice."),
        ("min_tx_rate", "-1", "Use 0 or more."),
        ("max_tx_rate", "x", "Use a whole number."),
    ],
)
def test_a_wrong_attribute_is_said_beside_its_field(
    operator_client: Client, host: Host, field: str, typed: str, sentence: str
) -> None:
    answer = operator_client.post(VF, {field: typed, "step": "ask"})
    assert sentence in Page(answer).words
    assert f'id="id_{field}_errors"' in answer.content.decode()
    assert not Change.objects.exists()


def test_the_guest_that_owns_a_vf_decides_its_vlan(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.post(f"{LEDGER}ens1f0/vfs/0/", {"vlan": "5", "step": "ask"}))
    assert "web1 owns this VF now" in page.words
    assert "web1 owns the VF, and its card or network names the VLAN." in page.words
    assert not Change.objects.exists()


def test_a_mac_address_of_another_host_is_refused_over_the_fleet(operator: User, host: Host) -> None:
    other = make_host("kvm2", facts=HostFacts())
    note_facts(other, with_a_pf(domains=()), timezone.now())
    assert list(VfMac.objects.values_list("host__name", "index", "mac")) == [("kvm2", 0, "52:54:00:00:00:42")]
    with pytest.raises(operations.OperationRefused, match="belongs to VF 0 of ens1f0 on kvm2"):
        operations.set_vf_attributes(host, "ens1f0", 1, VfAttributes(mac="52:54:00:00:00:42"), by=operator)


def test_an_address_on_its_way_to_a_vf_is_taken_too(operator: User, host: Host) -> None:
    other = make_host("kvm2", facts=with_a_pf(domains=()))
    operations.set_vf_attributes(other, "ens1f0", 1, VfAttributes(mac=FREE), by=operator)
    with pytest.raises(operations.OperationRefused, match=f"{FREE} is being given to a VF on kvm2"):
        operations.set_vf_attributes(host, "ens1f0", 1, VfAttributes(mac=FREE), by=operator)


@pytest.mark.parametrize("address", [NUMVFS, VF])
def test_a_viewer_a_stranger_and_a_passer_by_cannot_change(
    viewer_client: Client, stranger_client: Client, client: Client, host: Host, address: str
) -> None:
    typed = {"numvfs": "0", "vlan": "3"}
    for one, status in ((viewer_client, 403), (stranger_client, 404), (client, 302)):
        assert one.get(address).status_code == status
        assert one.post(address, typed).status_code == status
    assert not Change.objects.exists()


def test_a_viewer_is_offered_no_change(viewer_client: Client, host: Host) -> None:
    assert not {NUMVFS, VF} & set(Page(viewer_client.get(LEDGER)).links)


def test_a_stranger_finds_no_ledger(stranger_client: Client, host: Host) -> None:
    assert stranger_client.get(LEDGER).status_code == 404


@pytest.mark.parametrize("address", [f"{LEDGER}eth0/numvfs/", f"{LEDGER}eth9/numvfs/", f"{LEDGER}ens1f0/vfs/7/"])
def test_there_is_no_page_for_what_is_not_there(operator_client: Client, host: Host, address: str) -> None:
    assert operator_client.get(address).status_code == 404


def test_other_methods_are_refused(operator_client: Client, host: Host) -> None:
    assert operator_client.post(LEDGER).status_code == 405
    assert operator_client.put(NUMVFS).status_code == 405
    assert operator_client.delete(VF).status_code == 405
