"""Hostile names from a host, on every page that shows them: shown as text, never as markup."""

from __future__ import annotations

from ipaddress import IPv4Address
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.test import Client

from hosts.models import Host
from networks import operations
from networks.models import Change, Network
from team.models import User
from tests.panel.factories import host_facts, make_host, nat_spec, network_facts, web_guest
from tests.panel.pages import Page
from virtnet.facts import FilterFacts, Filtering, HostFacts, InboundFacts, InterfaceFacts, Lease, NetworkFacts, Versions
from virtnet.link_facts import Link, Vf
from virtnet.messages import Step
from virtnet.spec import Problem
from virtnet.text import text

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "</title></textarea></pre><svg onload=alert(1)>",
    "{{ request.user }}{% csrf_token %}",
    "%(name)s%s%d%n{0}{name}",
    "javascript:alert(1)",
    "a\nb\u202eevil\u2028🦠",
    "../../../etc/passwd",
    "]]></network><!--",
    "",  # but a network, a guest and a link have a name
]
NETWORK, GUEST = uuid4(), UUID("00000000-0000-4000-8000-0000000000aa")
# What no page of ours has, and a payload would bring.
FOREIGN_TAGS = {"img", "textarea", "style", "iframe", "object"}
OUR_TEXTAREAS = {"id_ports"}


def hostile_facts(name: str) -> HostFacts:
    """Facts whose every free text is the payload."""
    own = name or "x"
    card = InterfaceFacts(
        mac="52:54:00:00:00:01",
        type="network",
        source=name,
        target=name,
        model=name,
        filter=name,
        filter_parameters=((name, name),),
    )
    kept = InboundFacts(mac=card.mac, policy=name)
    network = NetworkFacts(
        name=own,
        uuid=NETWORK,
        active=True,
        mode=name,
        bridge=name,
        devs=(name,),
        leases=(Lease(mac=name, address=IPv4Address("10.0.0.1"), hostname=name),),
        xml=name,
    )
    vf = Vf(index=0, pci_address=name, driver=name, link=name, mac=name, link_state=name)
    office = network_facts(nat_spec(), uuid4())
    return host_facts(
        networks=(network, office),
        domains=(
            web_guest().model_copy(
                update={"name": own, "uuid": GUEST, "state": name, "interfaces": (card,), "inbound": (kept,)}
            ),
        ),
    ).model_copy(
        update={
            "filters": (FilterFacts(name=name, variables=(name,)),),
            "filtering": Filtering(dropping=(name,), br_netfilter=True, accept_ra=(name,), strict_rp_filter=(name,)),
            "hostname": name,
            "versions": Versions(kernel=name, libvirt=name, qemu=name, kvmagent=name),
            "libvirt_error": text("%(x)s", x=name),
            "links": (
                Link(name=own, index=1, kind=name, master=name, mac=name, operstate=name, driver=name, pf=name),
                Link(name=own, index=2, driver=name, pci_address=name, totalvfs=2, numvfs=1, vfs=(vf,)),
            ),
        }
    )


def change_with(name: str, host: Host, by: User) -> Change:
    """A finished change whose every free text is the payload."""
    made = operations.set_network_autostart(Network.objects.get(uuid=NETWORK), True, by=by)
    step = Step(text=text("%(x)s", x=name), command=name, outcome="failed", detail=text("%(x)s", x=name))
    problem = Problem(text=text("%(x)s", x=name), fix=text("%(x)s", x=name))
    Change.objects.filter(pk=made.pk).update(
        state="failed",
        domain_uuid=GUEST,
        domain_name=name,
        steps=[step.model_dump(mode="json")],
        problems=[problem.model_dump(mode="json")],
        error=text("%(x)s", x=name).model_dump(mode="json"),
        before=name,
        after=f"{name}\n{name}",
    )
    return made


def pages_of(change: Change) -> list[str]:
    network = change.network_id
    guest = f"/hosts/kvm1/guests/{GUEST}/"
    return [
        "/",
        "/hosts/kvm1/",
        "/hosts/kvm1/sriov/",
        "/hosts/kvm1/networks/new/",
        *(f"/hosts/kvm1/networks/new/{mode}/" for mode in ("nat", "bridge", "host-only", "macvtap", "sriov")),
        f"/networks/{network}/",
        *(f"/networks/{network}/{action}/" for action in ("start", "stop", "autostart/on", "autostart/off")),
        guest,
        f"{guest}attach/",
        f"{guest}detach/52:54:00:00:00:01/",
        *(f"{guest}cards/52:54:00:00:00:01/{what}/" for what in ("filter", "inbound")),
        "/search/?q=1",
        "/changes/",
        f"/changes/{change.pk}/",
        "/audit/",
    ]


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_hostile_name_is_text_on_every_page(operator_client: Client, operator: User, name: str) -> None:
    host = make_host("kvm1", facts=hostile_facts(name))
    change = change_with(name, host, operator)
    seen = 0
    for address in pages_of(change):
        answer = operator_client.get(address)
        assert answer.status_code == 200, address
        page = Page(answer)
        assert not page.inline_scripts, address
        for tag, given in page.tags:
            assert tag not in FOREIGN_TAGS or given.get("id") in OUR_TEXTAREAS, address
            assert not [attribute for attribute in given if attribute.startswith("on")], address
            assert not given.get("href", "").lower().startswith("javascript:"), address
        seen += name.partition("\n")[0] in page.text
    assert seen >= 9


@pytest.mark.parametrize("mac", [*PAYLOADS, "", "00:00:00:00:00:00", "52-54-00-00-00-01"])
def test_a_card_whose_mac_address_is_none_is_shown_and_cannot_be_asked_for(operator_client: Client, mac: str) -> None:
    facts = hostile_facts("eth0")
    guest = facts.domains[0]
    card = guest.interfaces[0].model_copy(update={"mac": mac})
    changed = guest.model_copy(update={"interfaces": (card,)})
    make_host("kvm1", facts=facts.model_copy(update={"domains": (changed,), "libvirt_error": None}))
    page = f"/hosts/kvm1/guests/{GUEST}/"
    for address in ("/hosts/kvm1/", page, f"{page}attach/", "/search/?q=eth0"):
        assert operator_client.get(address).status_code == 200, address
    for address in (
        f"{page}detach/{quote(mac)}/",
        *(f"{page}cards/{quote(mac)}/{one}/" for one in ("filter", "inbound")),
    ):
        assert operator_client.get(address).status_code == 404, address


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_a_person_types_comes_back_as_text(operator_client: Client, host: Host, name: str) -> None:
    address = "/hosts/kvm1/networks/new/nat/"
    typed = {"name": name, "bridge": name, "gateway": name, "first_lease": name, "last_lease": name}
    for sent in (
        operator_client.post(address, typed),
        operator_client.post("/hosts/add/", {"name": name}),
        operator_client.get("/", {"search": name}),
        operator_client.get("/changes/", {"text": name, "host": name, "page": name}),
        operator_client.get("/audit/", {"person": name, "since": name, "page": name}),
    ):
        assert sent.status_code == 200
        page = Page(sent)
        assert not page.inline_scripts
        assert not {tag for tag, _ in page.tags} & FOREIGN_TAGS
        assert not [
            given for _, given in page.tags if "onerror" in given or "onmouseover" in given or "onload" in given
        ]
