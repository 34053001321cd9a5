"""The plan of each action: the exact verbs, in order, as a person would type them."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from tests.virtnet.samples import (
    BRIDGE,
    CARD,
    CASES,
    DIRECT,
    HOST_ONLY,
    MACVTAP,
    NAT,
    OFFICE,
    OTHER,
    SRIOV,
    WEB,
    guest,
    host,
    host_with,
    link,
    network,
    office,
)
from virtnet import firewall
from virtnet.actions import (
    Action,
    AttachInterface,
    DefineNetwork,
    DestroyNetwork,
    DetachInterface,
    SetNetworkAutostart,
    StartNetwork,
    UndefineNetwork,
    UpdateNetwork,
)
from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.interface import DirectSource
from virtnet.modes import AnySpec
from virtnet.plan import plan
from virtnet.refs import DomainRef, NetworkRef

DEFINE = [
    "virsh net-define --validate office.xml",
    "virsh net-autostart office",
]
UPDATE = ["virsh net-define --validate office.xml"]
REMOVE = ["virsh net-destroy office", "virsh net-undefine office"]
BRIDGE_LINKS = [
    "ip link add name br1 address $(cat /sys/class/net/eth1/address) mtu $(cat /sys/class/net/eth1/mtu) "
    "type bridge stp_state 0 forward_delay 0",
    "ip link set br1 up",
    "ip link set eth1 master br1; sysctl -w net/ipv6/conf/eth1/disable_ipv6=1",
    "ip link set eth1 up",
]
VFS = ["ip link set ens1f0 up", "echo 4 > /sys/class/net/ens1f0/device/sriov_numvfs", ""]
TABLE = ["nft -f kvmpanel.nft"]
START = ["virsh net-start office"]


def commands(action: Action, facts: HostFacts | None = None) -> list[str]:
    return [verb.command for verb in plan(action, facts or host())]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (NAT, [*DEFINE, *TABLE, *START]),
        (HOST_ONLY, [*DEFINE, *TABLE, *START]),
        (BRIDGE, [*BRIDGE_LINKS, "networkctl reload", *DEFINE, *START]),
        (
            CASES["bridge-existing"],
            [
                "ip link add name br0 type bridge stp_state 0 forward_delay 0",
                "ip link set br0 up",
                *DEFINE,
                *START,
            ],
        ),
        (MACVTAP, ["ip link set eth1 up", *DEFINE, *START]),
        (SRIOV, [*VFS, *DEFINE, *START]),
    ],
)
def test_define(spec: AnySpec, wanted: list[str]) -> None:
    assert commands(DefineNetwork(network=OFFICE, spec=spec)) == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (NAT, [*TABLE, *UPDATE]),
        (HOST_ONLY, [*TABLE, *UPDATE]),
        (BRIDGE, [*BRIDGE_LINKS, "networkctl reload", *UPDATE]),
        (MACVTAP, ["ip link set eth1 up", *UPDATE]),
        (SRIOV, [*VFS, *UPDATE]),
    ],
)
def test_update(spec: AnySpec, wanted: list[str]) -> None:
    assert commands(UpdateNetwork(network=OFFICE, spec=spec)) == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (NAT, [*REMOVE, *TABLE]),
        (HOST_ONLY, [*REMOVE, *TABLE]),
        (BRIDGE, REMOVE),  # this host's br1 is not there, or not of the panel's making
        (MACVTAP, REMOVE),
        (SRIOV, REMOVE),
    ],
)
def test_undefine(spec: AnySpec, wanted: list[str]) -> None:
    assert commands(UndefineNetwork(network=OFFICE, spec=spec)) == wanted


def test_the_firewall_table_is_loaded_without_the_rules_of_what_goes() -> None:
    last = plan(UndefineNetwork(network=OFFICE, spec=NAT), host())[-1]
    assert str(last.text) == "Load the firewall table without the rules of office."


def test_the_bridge_that_the_panel_made_goes_with_the_last_network_on_it() -> None:
    made = (link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1"), link("eth1", master="br1"))
    action = UndefineNetwork(network=OFFICE, spec=BRIDGE)
    assert commands(action, host_with(*made, networks=(office(BRIDGE),))) == ["ip link delete br1", *REMOVE]
    shared = (office(BRIDGE), network("second", "bridge", bridge="br1"))
    assert commands(action, host_with(*made, networks=shared)) == REMOVE


@pytest.mark.parametrize(
    ("action", "command", "sentence"),
    [
        (StartNetwork(network=OFFICE), "virsh net-start office", "Start the network office."),
        (DestroyNetwork(network=OFFICE), "virsh net-destroy office", "Stop the network office."),
        (
            SetNetworkAutostart(network=OFFICE, autostart=True),
            "virsh net-autostart office",
            "Let the network office start with the host.",
        ),
        (
            SetNetworkAutostart(network=OFFICE, autostart=False),
            "virsh net-autostart office --disable",
            "Do not let the network office start with the host.",
        ),
        (
            AttachInterface(domain=WEB, interface=CARD),
            "virsh attach-device web1 card.xml --persistent",
            "Plug the card 52:54:00:12:34:56 of web1 into the network office.",
        ),
        (
            DetachInterface(domain=WEB, mac=CARD.mac),
            "virsh detach-interface web1 network --mac 52:54:00:12:34:56 --persistent",
            "Unplug the card 52:54:00:12:34:56 from web1.",
        ),
    ],
)
def test_the_other_actions_are_one_verb(action: Action, command: str, sentence: str) -> None:
    (verb,) = plan(action, host())
    assert (verb.command, str(verb.text)) == (command, sentence)


def test_a_card_straight_on_a_link_needs_the_link_up() -> None:
    verbs = plan(AttachInterface(domain=WEB, interface=DIRECT), host())
    assert [verb.command for verb in verbs] == ["ip link set eth1 up", "virsh attach-device web1 card.xml --persistent"]
    assert str(verbs[-1].text) == "Plug the card 52:54:00:12:34:56 of web1 into the link eth1 (macvtap, bridge)."


LEAVE = "sysctl -p /etc/sysctl.d/90-kvmpanel-eth1.conf"
SPEAK = "net/ipv4/conf/eth1/arp_ignore=0 net/ipv6/conf/eth1/disable_ipv6=0"
TAKE_BACK = f"rm /etc/sysctl.d/90-kvmpanel-eth1.conf; sysctl -w {SPEAK}"
OWNED = MACVTAP.model_copy(update={"source_mode": "passthrough"})


def test_the_host_falls_silent_before_a_guest_owns_the_link_and_speaks_again_after_it() -> None:
    there = network("office", "macvtap", uuid=OFFICE.uuid, devs=("eth1",), xml=OWNED.libvirt_xml(OFFICE))
    owned = host(networks=(there,))
    assert commands(DefineNetwork(network=OFFICE, spec=OWNED)) == [LEAVE, "ip link set eth1 up", *DEFINE, *START]
    assert commands(UndefineNetwork(network=OFFICE, spec=OWNED), owned) == [*REMOVE, TAKE_BACK]
    assert commands(UpdateNetwork(network=OFFICE, spec=OWNED), owned) == [LEAVE, "ip link set eth1 up", *UPDATE]
    assert commands(UpdateNetwork(network=OFFICE, spec=MACVTAP), owned) == ["ip link set eth1 up", *UPDATE, TAKE_BACK]


def test_the_same_for_a_card_in_passthrough() -> None:
    card = DIRECT.model_copy(update={"source": DirectSource(link="eth1", mode="passthrough")})
    found = InterfaceFacts(mac=card.mac, type="direct", source="eth1", source_mode="passthrough")
    plugged = host(domains=(guest().model_copy(update={"interfaces": (found,)}),))
    attach = ["virsh attach-device web1 card.xml --persistent"]
    assert commands(AttachInterface(domain=WEB, interface=card)) == [LEAVE, "ip link set eth1 up", *attach]
    assert commands(DetachInterface(domain=WEB, mac=card.mac), plugged)[-1] == TAKE_BACK


def test_a_card_is_unplugged_by_libvirt_s_word_for_its_kind() -> None:
    card = InterfaceFacts(mac=CARD.mac, type="direct", source="eth1", source_mode="vepa")
    facts = host(domains=(guest().model_copy(update={"interfaces": (card,)}),))
    assert commands(DetachInterface(domain=WEB, mac=CARD.mac), facts) == [
        "virsh detach-interface web1 direct --mac 52:54:00:12:34:56 --persistent"
    ]


@pytest.mark.parametrize("case", CASES)
def test_the_defined_document_is_the_spec_s(case: str) -> None:
    action = DefineNetwork.model_validate({"network": OFFICE, "spec": CASES[case]})
    documents = [verb.document for verb in plan(action, host()) if verb.command.startswith("virsh net-define")]
    assert documents == [CASES[case].libvirt_xml(OFFICE)]


def test_the_card_s_document_is_the_spec_s() -> None:
    (verb,) = plan(AttachInterface(domain=WEB, interface=CARD), host())
    assert verb.document == CARD.libvirt_xml()


def test_the_table_holds_the_rules_of_the_other_networks_too() -> None:
    lab = HOST_ONLY.model_copy(update={"name": "lab", "bridge": "virbr9", "host_address": IPv4Interface("10.9.0.1/24")})
    there = office(lab).model_copy(update={"name": "lab", "uuid": OTHER})
    verbs = plan(DefineNetwork(network=OFFICE, spec=NAT), host(networks=(there,)))
    (table,) = (verb.document for verb in verbs if verb.command.startswith("nft"))
    assert table == firewall.ruleset([NAT.firewall_rules(), lab.firewall_rules()])


def test_an_undefined_network_s_rules_leave_the_table() -> None:
    verbs = plan(UndefineNetwork(network=OFFICE, spec=NAT), host(networks=(office(NAT),)))
    assert verbs[-1].document == firewall.ruleset([])


@pytest.mark.parametrize("spec", ["", "null", "{}", "[[[", '{"mode":"wormhole","name":"a"}', "x" * 10_000])
def test_a_host_that_reports_an_odd_spec_has_no_rules_for_it_and_still_gets_a_plan(spec: str) -> None:
    odd = NetworkFacts(name="odd", uuid=OTHER, active=True, mode="nat", spec=spec)
    verbs = plan(DefineNetwork(network=OFFICE, spec=NAT), host(networks=(odd,)))
    assert [verb.document for verb in verbs if verb.command.startswith("nft")] == [
        firewall.ruleset([NAT.firewall_rules()])
    ]


def test_a_foreign_name_is_quoted_as_a_person_would() -> None:
    odd = NetworkRef(uuid=OTHER, name="a b'; reboot\n")
    assert commands(StartNetwork(network=odd)) == ["virsh net-start 'a b'\"'\"'; reboot\n'"]
    guest = DomainRef(uuid=WEB.uuid, name="$(reboot)")
    assert commands(DetachInterface(domain=guest, mac=CARD.mac))[0].startswith("virsh detach-interface '$(reboot)' ")


def test_a_plan_changes_nothing_in_the_facts() -> None:
    facts = host(networks=(office(NAT),))
    before = facts.digest()
    plan(UndefineNetwork(network=OFFICE, spec=NAT), facts)
    assert facts.digest() == before
