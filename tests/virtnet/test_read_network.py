"""Any network that libvirt accepts is shown as what it is."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.virtnet.samples import CASES, NAT, OFFICE
from virtnet.facts import HostFacts, Lease, NetworkFacts
from virtnet.modes import MODES
from virtnet.read_network import NO_UUID, read

NETWORKS = Path(__file__).parent / "networks"
FILES = sorted(path.stem for path in NETWORKS.glob("*.xml"))

# A file's name says its mode; those of odd names and metadata say here what they are.
MODE_OF_PREFIX = {"isolated": "host-only"}
MODE_OF_FILE = {
    "managed-nat": "nat",
    "managed-copied": "open",
    "managed-by-an-invalid-spec": "open",
    "managed-by-a-later-version": "open",
    "managed-by-no-json": "open",
    "metadata-foreign": "nat",
    "metadata-unbound-prefix": "nat",
    "name-dot-dot": "host-only",
    "name-emoji": "nat",
    "name-markup": "host-only",
    "name-newline": "macvtap",
    "name-of-3000-letters": "macvtap",
}


def expected_mode(file: str) -> str:
    prefix = file.partition("-")[0]
    return MODE_OF_FILE.get(file) or MODE_OF_PREFIX.get(prefix, prefix)


def read_file(file: str) -> NetworkFacts:
    return read_xml((NETWORKS / f"{file}.xml").read_text(encoding="utf-8"))


def read_xml(xml: str) -> NetworkFacts:
    return read(xml, active=True, persistent=True, autostart=False)


def in_network(inside: str) -> NetworkFacts:
    return read_xml(f"<network><name>a</name>{inside}</network>")


@pytest.mark.parametrize("file", FILES)
def test_it_has_the_mode_that_it_is(file: str) -> None:
    assert read_file(file).mode == expected_mode(file)


@pytest.mark.parametrize("file", FILES)
def test_its_facts_cross_the_wire(file: str) -> None:
    facts = HostFacts(networks=(read_file(file),))
    assert HostFacts.model_validate_json(facts.model_dump_json()) == facts


def test_there_are_examples_of_each_mode_and_of_what_is_none() -> None:
    assert len(FILES) >= 30
    assert {expected_mode(file) for file in FILES} == {*MODES, "route", "open"}


def test_a_network_is_read_with_bridge_links_and_addresses() -> None:
    found = read_file("route-static-routes")
    assert (found.bridge, found.devs) == ("virbr1", ("eth1",))
    assert [str(address) for address in found.subnets] == ["192.168.122.1/24", "2001:db8:ac10:fe01::1/64"]
    assert found.spec is None


def test_links_are_named_once_each_in_order() -> None:
    assert read_file("macvtap-bridge").devs == ("eth20", "eth21", "eth22", "eth23", "eth24")
    assert read_file("macvtap-vepa-802.1Qbg").devs == ("eth0", "eth1")
    assert read_file("sriov-pf").devs == ("eth2",)
    assert read_file("sriov-addresses").devs == ()


def test_the_vfs_and_the_vlan_that_a_pool_gives_are_read() -> None:
    assert read_file("sriov-addresses").vfs == ("0000:04:00.1", "0000:04:00.2", "0001:ff:1f.7")
    assert (read_file("sriov-pf").pfs, read_file("sriov-pf").vfs, read_file("sriov-pf").vlan) == (("eth2",), (), None)
    assert read_file("macvtap-passthrough-pf").pfs == ("eth2",)
    assert read_file("sriov-vlan").vlan == 42


@pytest.mark.parametrize(
    ("ip", "subnets"),
    [
        ("<ip address='192.168.7.1' prefix='24'/>", ["192.168.7.1/24"]),
        ("<ip address='192.168.7.1' netmask='255.255.0.0'/>", ["192.168.7.1/16"]),
        ("<ip address='10.1.1.1'/>", ["10.1.1.1/8"]),
        ("<ip address='172.16.1.1'/>", ["172.16.1.1/16"]),
        ("<ip address='192.168.7.1'/>", ["192.168.7.1/24"]),
        ("<ip family='ipv6' address='2001:db8::1'/>", ["2001:db8::1/64"]),
        ("<ip family='ipv6' address='fe80::1%lo' prefix='64'/>", ["fe80::1%lo/64"]),
        ("<ip address='10.1.1.1' netmask='255.0.255.0'/>", []),
        ("<ip address='10.1.1.1' prefix='33'/>", []),
        ("<ip/>", []),
        ("", []),
    ],
)
def test_an_address_is_read_however_its_prefix_is_written(ip: str, subnets: list[str]) -> None:
    assert [str(address) for address in in_network(ip).subnets] == subnets


def test_a_bridge_without_a_name_is_none() -> None:
    assert in_network("<bridge stp='on' delay='0'/>").bridge is None
    assert in_network("<bridge name=''/>").bridge is None


@pytest.mark.parametrize("case", CASES)
def test_what_the_panel_wrote_is_the_panel_s(case: str) -> None:
    spec = CASES[case]
    found = read_xml(spec.libvirt_xml(OFFICE))
    assert found.managed
    assert (found.name, found.uuid, found.mode, found.spec) == (
        *("office", OFFICE.uuid, spec.mode),
        spec.model_dump_json(),
    )


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("managed-by-") or file == "managed-copied"])
def test_metadata_that_holds_no_spec_of_this_network_makes_it_foreign(file: str) -> None:
    assert read_file(file).managed is False


def test_the_panel_s_spec_is_found_beside_another_s_broken_metadata() -> None:
    xml = NAT.libvirt_xml(OFFICE).replace("</metadata>", "<a:x xmlns:a='urn:a'><b:y/></a:x></metadata>")
    assert read_xml(xml).spec == NAT.model_dump_json()


def test_a_name_or_document_longer_than_facts_hold_is_cut() -> None:
    found = read_file("name-of-3000-letters")
    assert (found.name, found.devs) == ("n" * 1024, ("e" * 1024,))
    huge = in_network("<metadata><a xmlns='urn:a'>" + "x" * 200_000 + "</a></metadata>")
    assert len(huge.xml) == 100_000


def test_what_libvirt_tells_beside_the_document_is_kept() -> None:
    lease = Lease(mac="52:54:00:00:00:01", address="192.168.7.9", hostname="web1")
    found = read("<network><name>a</name></network>", active=False, persistent=False, autostart=True, leases=[lease])
    assert (found.active, found.persistent, found.autostart, found.leases) == (False, False, True, (lease,))


@pytest.mark.parametrize("uuid", ["", "<uuid/>", "<uuid>office</uuid>"])
def test_a_document_without_a_uuid_has_the_nil_one(uuid: str) -> None:
    assert in_network(uuid).uuid == NO_UUID


def test_what_is_no_xml_is_refused() -> None:
    with pytest.raises(ET.ParseError):
        read_xml("network")


def test_a_document_that_libvirt_s_own_unescaped_name_breaks_is_read_up_to_there() -> None:
    xml = "<network>\n  <name>a</name>\n  <forward mode='route'/>\n  <domain name='x'/>\n<<'/>\n</network>"
    assert (read_xml(xml).name, read_xml(xml).mode) == ("a", "route")
