"""Reading HostFacts, on libvirt's test driver."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any
from uuid import UUID

import libvirt as bindings
import pytest

from kvmagent import facts
from kvmagent.facts import read_facts
from kvmagent.guest_addresses import GuestAddresses, told_addresses
from kvmagent.libvirt_connection import Libvirt
from virtnet import read_network
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts

CARDS = """
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/><model type='virtio'/></interface>
<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><link state='down'/></interface>
<interface type='direct'><mac address='52:54:00:00:00:03'/><source dev='eth0' mode='vepa'/></interface>
<interface type='user'><mac address='52:54:00:00:00:04'/></interface>
<interface type='hostdev'><mac address='52:54:00:00:00:05'/>
  <source><address type='pci' domain='0' bus='0x5e' slot='0x02' function='0x1'/></source></interface>
"""
GUEST = """<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>{cards}</devices></domain>"""


def guest(name: str, number: int, cards: str = "") -> str:
    return GUEST.format(name=name, uuid=UUID(int=number, version=4), cards=cards)


def network(name: str, number: int) -> str:
    return (
        f"<network><name>{name}</name><uuid>{UUID(int=number, version=4)}</uuid><bridge name='br{number}'/></network>"
    )


@pytest.fixture
def libvirt_test(tmp_path: Path) -> Iterator[Libvirt]:
    node = tmp_path / "node.xml"
    guests = guest("web", 1, CARDS) + guest("ärger &lt;b&gt; 🐢", 2) + guest("app", 3)
    node.write_text(f"<node>{guests}{network('zone', 7)}{network('lan', 8)}</node>")
    libvirt = Libvirt(f"test://{node}")
    yield libvirt
    libvirt.close()


def cards(found: HostFacts, name: str = "web") -> dict[str, InterfaceFacts]:
    domain: DomainFacts = next(one for one in found.domains if one.name == name)
    return {card.mac[-2:]: card for card in domain.interfaces}


def test_a_guest_tells_what_machine_it_is(libvirt_test: Libvirt) -> None:
    assert {one.machine for one in read_facts(libvirt_test).domains} == {"pc-q35-7.2"}


def test_everything_is_sorted_by_name(libvirt_test: Libvirt) -> None:
    found = read_facts(libvirt_test)
    assert [one.name for one in found.networks] == ["lan", "zone"]
    assert [one.name for one in found.domains] == ["app", "web", "ärger <b> 🐢"]
    assert found.libvirt_error is None
    assert found.versions.libvirt.count(".") == 2
    assert found.versions.qemu == ""  # the test driver's version is nobody's


def test_the_digest_stays_while_nothing_changes(libvirt_test: Libvirt) -> None:
    assert len({read_facts(libvirt_test).digest() for _ in range(5)}) == 1


def test_the_digest_changes_with_a_network(libvirt_test: Libvirt) -> None:
    before = read_facts(libvirt_test).digest()
    libvirt_test.connection().networkLookupByName("lan").destroy()
    assert read_facts(libvirt_test).digest() != before


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often libvirt has answered what about networks."""
    asked: Counter[str] = Counter()

    def counted(kind: type, name: str) -> None:
        ask = getattr(kind, name)

        def count(*arguments: object) -> object:
            answer = ask(*arguments)
            asked[name] += 1  # only what was answered: the test driver does not know the flag for inactive documents
            return answer

        monkeypatch.setattr(kind, name, count)

    counted(bindings.virConnect, "listAllNetworks")
    # Those that send nothing to libvirtd are left out: name, UUID and UUIDString are in the object.
    for name in ("XMLDesc", "DHCPLeases", "isActive", "isPersistent", "autostart", "bridgeName", "listAllPorts"):
        counted(bindings.virNetwork, name)
    return asked


def many_networks(connection: bindings.virConnect, count: int) -> None:
    for number in range(count):
        found = connection.networkDefineXML(network(f"net{number}", 100 + number))
        if number % 2:
            found.create()


def test_of_many_networks_libvirtd_is_asked_twice_for_each_at_most(
    libvirt_test: Libvirt, questions: Counter[str]
) -> None:
    many_networks(libvirt_test.connection(), 50)
    assert len(read_facts(libvirt_test).networks) == 52
    assert questions["listAllNetworks"] == 4
    assert sum(questions.values()) <= 4 + 2 * 52


def test_without_their_leases_it_is_asked_once_for_each(libvirt_test: Libvirt, questions: Counter[str]) -> None:
    many_networks(libvirt_test.connection(), 50)
    assert len(facts.read_networks(libvirt_test.connection(), leases=False)) == 52
    assert sum(questions.values()) == 4 + 52


def test_the_document_of_a_network_is_read_again_only_when_something_of_it_has_changed(
    libvirt_test: Libvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, documents = read_network.read, []

    def counted(xml: str, **about: Any) -> NetworkFacts:
        documents.append(xml)
        return read(xml, **about)

    connection = libvirt_test.connection()
    many_networks(connection, 10)
    read_facts(libvirt_test)
    monkeypatch.setattr(read_network, "read", counted)
    read_facts(libvirt_test)
    assert documents == []
    connection.networkLookupByName("net3").destroy()
    connection.networkLookupByName("net4").setAutostart(1)
    found = {one.name: one for one in read_facts(libvirt_test).networks}
    assert len(documents) == 2
    assert (found["net3"].active, found["net4"].autostart, found["net5"].active) == (False, True, True)


def test_networks_say_whether_they_are_active_persistent_and_started_with_the_host(libvirt_test: Libvirt) -> None:
    connection = libvirt_test.connection()
    connection.networkLookupByName("lan").destroy()
    connection.networkLookupByName("lan").setAutostart(1)
    connection.networkCreateXML(network("passing", 9))
    found = {one.name: (one.active, one.persistent, one.autostart) for one in read_facts(libvirt_test).networks}
    assert found == {"lan": (False, True, True), "passing": (True, False, False), "zone": (True, True, False)}


def test_each_kind_of_card_shows_where_it_is_plugged_in(libvirt_test: Libvirt) -> None:
    found = cards(read_facts(libvirt_test))
    assert {mac: (card.type, card.source) for mac, card in found.items()} == {
        "01": ("network", "lan"),
        "02": ("bridge", "br0"),
        "03": ("direct", "eth0"),
        "04": ("user", None),
        "05": ("hostdev", "0000:5e:02.1"),
    }
    assert found["01"].model == "virtio"
    assert found["03"].source_mode == "vepa"
    assert (found["01"].link_up, found["02"].link_up) == (True, False)


def test_a_guest_that_is_off_has_cards_for_its_next_start(libvirt_test: Libvirt) -> None:
    libvirt_test.connection().lookupByName("web").destroy()
    found = read_facts(libvirt_test)
    assert [domain.state for domain in found.domains if domain.name == "web"] == ["shut off"]
    assert {(card.live, card.persistent) for card in cards(found).values()} == {(False, True)}


def test_a_card_that_changes_at_the_next_start_is_shown_as_both(libvirt_test: Libvirt) -> None:
    connection = libvirt_test.connection()
    moved = guest("web", 1, CARDS.replace("network='lan'", "network='zone'"))
    connection.defineXML(moved)
    domain = connection.lookupByName("web")
    if "zone" not in domain.XMLDesc(bindings.VIR_DOMAIN_XML_INACTIVE):
        pytest.fail("the test driver keeps no second definition")
    domain_facts = next(one for one in read_facts(libvirt_test).domains if one.name == "web")
    first = [card for card in domain_facts.interfaces if card.mac.endswith("01")]
    assert [(card.source, card.live, card.persistent) for card in first] == [
        ("lan", True, False),
        ("zone", False, True),
    ]


def test_while_libvirtd_is_down_the_last_known_are_shown(
    libvirt_test: Libvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_facts(libvirt_test)
    libvirt_test.close()
    libvirt_test.uri = "qemu+unix:///system?socket=/nonexistent/sock"
    after = read_facts(libvirt_test)
    assert after.libvirt_error is not None
    assert "systemctl start libvirtd" in str(after.libvirt_error)
    assert (after.networks, after.domains) == (before.networks, before.domains)


def test_where_libvirtd_was_never_up_there_are_links_all_the_same() -> None:
    found = read_facts(Libvirt("qemu+unix:///system?socket=/nonexistent/sock"))
    assert found.libvirt_error is not None
    assert found.networks == ()
    assert found.link("lo") is not None


def test_libvirtd_that_breaks_off_between_two_questions_is_asked_again(
    libvirt_test: Libvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, tries = facts.read_networks, []

    def breaks_off_once(connection: bindings.virConnect) -> object:
        tries.append(connection)
        if len(tries) == 1:
            raise bindings.libvirtError("client socket is closed")
        return read(connection)

    monkeypatch.setattr(facts, "read_networks", breaks_off_once)
    found = read_facts(libvirt_test)
    assert found.libvirt_error is None
    assert len(tries) == 2
    assert len(found.networks) == 2


@pytest.mark.usefixtures("own_network")
def test_an_address_that_the_host_has_seen_is_shown_with_its_source(libvirt_test: Libvirt) -> None:
    for line in (
        "link add br0 type bridge",
        "link set br0 up",
        "address add 10.1.0.1/24 dev br0",
        "neighbour add 10.1.0.5 lladdr 52:54:00:00:00:01 dev br0",
    ):
        subprocess.run(["ip", *line.split()], check=True)
    addresses = cards(read_facts(libvirt_test))["01"].addresses
    assert [(one.address, one.source) for one in addresses] == [(ip_interface("10.1.0.5/24"), "arp")]


def test_the_facts_cross_the_wire_and_back(libvirt_test: Libvirt) -> None:
    found = read_facts(libvirt_test)
    assert HostFacts.model_validate_json(found.model_dump_json()) == found


POOL_CARD = "<interface type='network'><mac address='{mac}'/><source network='pool'/>{more}</interface>"
OWNED_VF = (
    "<interface type='hostdev' managed='yes'><mac address='{mac}'/><source><address type='pci' domain='0x0000' "
    "bus='0x01' slot='0x10' function='0x2'/></source><vlan><tag id='42'/></vlan>{more}</interface>"
)


LAN = NetworkFacts(name="lan", uuid=UUID(int=1, version=4), active=True, mode="bridge", bridge="br0")
DIRECT = NetworkFacts(name="direct", uuid=UUID(int=2, version=4), active=True, mode="macvtap", devs=("eth0",))


def of_both(live: str, inactive: str) -> list[tuple[str, str | None, str | None, bool, bool]]:
    read = cards_of(live, inactive)
    return [(card.type, card.source, card.vf, card.live, card.persistent) for card in read]


def cards_of(live: str, inactive: str) -> list[InterfaceFacts]:
    xml = "<domain><devices>{}</devices></domain>"
    nothing = GuestAddresses((), ())
    networks = {network.name: network for network in (LAN, DIRECT)}
    cards = facts._cards(xml.format(live), xml.format(inactive), networks)
    return [facts._interface(card, live=at, following=then, addresses=nothing, agent={}) for card, at, then in cards]


def test_a_running_guest_s_vf_of_a_pool_is_one_card_on_the_pool() -> None:
    mac = "52:54:00:00:00:05"
    live, inactive = OWNED_VF.format(mac=mac, more=""), POOL_CARD.format(mac=mac, more="")
    assert of_both(live, inactive) == [("network", "pool", "0000:01:10.2", True, True)]


def test_the_vf_of_a_pair_is_not_taken_for_its_virtio_half() -> None:
    mac = "52:54:00:00:00:05"
    standby = "<teaming type='persistent'/>"
    transient = "<teaming type='transient' persistent='ua-a'/>"
    live = POOL_CARD.format(mac=mac, more=standby) + OWNED_VF.format(mac=mac, more=transient)
    inactive = POOL_CARD.format(mac=mac, more=standby) + POOL_CARD.format(mac=mac, more=transient)
    assert of_both(live, inactive) == [
        ("network", "pool", None, True, True),
        ("network", "pool", "0000:01:10.2", True, True),
    ]


NETWORK_CARD = "<interface type='network'><mac address='52:54:00:00:00:06'/><source network='{}'/></interface>"


@pytest.mark.parametrize(
    ("network", "shown"),
    [("lan", "type='bridge'><source bridge='br0'/>"), ("direct", "type='direct'><source dev='eth0' mode='bridge'/>")],
)
def test_a_running_guest_s_card_on_a_bridge_or_a_link_is_one_card_of_its_network(network: str, shown: str) -> None:
    live = f"<interface {shown}<mac address='52:54:00:00:00:06'/></interface>"
    assert of_both(live, NETWORK_CARD.format(network)) == [("network", network, None, True, True)]


def test_the_link_that_a_network_gave_a_running_guest_for_itself_is_told() -> None:
    live = "<interface type='direct'><source dev='eth0' mode='{}'/><mac address='52:54:00:00:00:06'/></interface>"
    given = [cards_of(live.format(mode), NETWORK_CARD.format("direct")) for mode in ("passthrough", "bridge")]
    assert [(card.source, card.own_link) for (card,) in given] == [("direct", "eth0"), ("direct", None)]
    (off,) = cards_of("", NETWORK_CARD.format("direct"))
    assert (off.source, off.own_link) == ("direct", None)


def test_a_card_that_goes_to_another_bridge_at_the_next_start_is_two() -> None:
    live = "<interface type='bridge'><source bridge='br7'/><mac address='52:54:00:00:00:06'/></interface>"
    assert of_both(live, NETWORK_CARD.format("lan")) == [
        ("bridge", "br7", None, True, False),
        ("network", "lan", None, False, True),
    ]


def test_a_card_that_names_its_vf_says_so_and_its_vlan(libvirt_test: Libvirt) -> None:
    card = cards(read_facts(libvirt_test))["05"]
    assert (card.type, card.vf, card.vlan) == ("hostdev", "0000:5e:02.1", None)


def test_a_guest_that_says_nonsense_of_its_addresses_hides_neither_itself_nor_its_host() -> None:
    said: list[dict[str, str | int]] = [
        {"addr": "10.0.0.5", "prefix": 24, "type": 0},
        {"addr": "<script>", "prefix": 24, "type": 0},
        {"addr": "10.0.0.6", "prefix": 240, "type": 0},
        {"addr": "2001:db8::1%anything", "prefix": 64, "type": 1},
        {"addr": "fe80::1", "prefix": 64, "type": 1},
    ]
    assert [str(one.address) for one in told_addresses(said)] == ["10.0.0.5/24"]
    many: list[dict[str, str | int]] = [{"addr": f"10.0.{n >> 8}.{n & 255}", "prefix": 8} for n in range(20_000)]
    assert len(told_addresses(many)) == 256
