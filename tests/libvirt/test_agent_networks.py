"""The agent's verbs on libvirt networks, on libvirt's test driver."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

import libvirt
import pytest

from kvmagent import libvirt_networks
from kvmagent.facts import read_networks
from kvmagent.host import LinuxHost, VerbFailed
from kvmagent.libvirt_connection import Libvirt
from virtnet import network_xml_changes
from virtnet.actions import AttachInterface, StartNetwork
from virtnet.facts import NetworkFacts
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.libvirt_xml import parse
from virtnet.messages import Step
from virtnet.modes.nat import Nat
from virtnet.refs import DomainRef, NetworkRef

NAT = Nat(name="office", bridge="virbr1", gateway=IPv4Interface("10.1.0.1/24"))
REF = NetworkRef(uuid=UUID("00000000-0000-4000-8000-000000000001"), name="office")


@pytest.fixture
def libvirt_test(tmp_path: Path) -> Iterator[Libvirt]:
    """A node of its own, with one guest."""
    node = tmp_path / "node.xml"
    node.write_text(
        "<node><domain type='test'><name>web1</name><uuid>00000000-0000-4000-8000-000000000009</uuid>"
        "<memory>1024</memory><os><type>hvm</type></os></domain></node>"
    )
    libvirt = Libvirt(f"test://{node}")
    yield libvirt
    libvirt.close()


@pytest.fixture
def steps() -> list[Step]:
    return []


@pytest.fixture
def host(libvirt_test: Libvirt, steps: list[Step]) -> LinuxHost:
    return LinuxHost(libvirt_test, steps.append)


def outcomes(steps: list[Step]) -> list[str]:
    return [step.outcome for step in steps]


def found(libvirt: Libvirt) -> NetworkFacts | None:
    return next((one for one in read_networks(libvirt.connection()) if one.uuid == REF.uuid), None)


def test_it_defines_autostarts_and_starts(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    NAT.apply(host, REF)
    network = found(libvirt_test)
    assert network is not None
    assert (network.active, network.autostart, network.persistent, network.mode) == (True, True, True, "nat")
    assert network.spec == NAT.model_dump_json()
    assert outcomes(steps) == ["done", "done", "already-so", "done"]  # the test driver needs no firewall
    assert steps[0].command == "virsh net-define --validate office.xml"


def test_what_is_there_already_is_left_alone(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    NAT.apply(host, REF)
    steps.clear()
    NAT.apply(LinuxHost(libvirt_test, steps.append), REF)
    assert outcomes(steps) == ["already-so"] * 4


def test_undo_leaves_nothing(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    before = read_networks(libvirt_test.connection())
    NAT.apply(host, REF)
    steps.clear()
    assert host.undo()
    assert read_networks(libvirt_test.connection()) == before
    assert outcomes(steps) == ["undone"] * 3


def test_undo_of_what_was_there_already_takes_nothing_away(libvirt_test: Libvirt, host: LinuxHost) -> None:
    NAT.apply(host, REF)
    before = read_networks(libvirt_test.connection())
    second = LinuxHost(libvirt_test, lambda step: None)
    NAT.apply(second, REF)
    assert second.undo()
    assert read_networks(libvirt_test.connection()) == before


def test_removal_and_its_undo(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    NAT.apply(host, REF)
    before = read_networks(libvirt_test.connection())
    removing = LinuxHost(libvirt_test, steps.append)
    NAT.remove(removing, REF)
    assert found(libvirt_test) is None
    assert removing.undo()
    assert read_networks(libvirt_test.connection()) == before


def test_a_name_that_another_network_has_is_refused(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    NAT.apply(host, REF)
    other = NetworkRef(uuid=UUID(int=2), name="office")
    second = LinuxHost(libvirt_test, steps.append)
    with pytest.raises(VerbFailed, match="another network office"):
        second.define_network(other, NAT.libvirt_xml(other))
    assert second.undo()
    assert found(libvirt_test) is not None


def test_a_running_network_with_other_settings_is_not_defined_over(host: LinuxHost, libvirt_test: Libvirt) -> None:
    NAT.apply(host, REF)
    moved = NAT.model_copy(update={"bridge": "virbr2"})
    with pytest.raises(VerbFailed, match="Update it instead"):
        host.define_network(REF, moved.libvirt_xml(REF))
    network = found(libvirt_test)
    assert network is not None
    assert network.bridge == "virbr1"


def test_a_document_that_libvirt_refuses_is_told_with_its_words(host: LinuxHost, steps: list[Step]) -> None:
    with pytest.raises(VerbFailed, match="libvirt refused"):
        host.define_network(REF, NAT.libvirt_xml(REF).replace("<bridge", "<bogus"))
    assert outcomes(steps) == ["failed"]
    assert "bogus" in str(steps[0].detail)


def test_a_network_that_is_gone_is_named(host: LinuxHost) -> None:
    with pytest.raises(VerbFailed, match="no network office any more"):
        host.start_network(REF)
    host.destroy_network(REF)
    host.undefine_network(REF)


def test_autostart_and_its_undo(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    host.define_network(REF, NAT.libvirt_xml(REF))
    host.set_autostart(REF, True)
    host.set_autostart(REF, True)
    assert outcomes(steps) == ["done", "done", "already-so"]
    host.set_autostart(REF, False)
    network = found(libvirt_test)
    assert network is not None
    assert not network.autostart


def test_an_update_of_a_stopped_network(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    host.define_network(REF, NAT.libvirt_xml(REF))
    former = found(libvirt_test)
    moved = NAT.model_copy(update={"bridge": "virbr2"})
    updating = LinuxHost(libvirt_test, steps.append)
    updating.update_network(REF, moved.libvirt_xml(REF))
    updating.update_network(REF, moved.libvirt_xml(REF))
    assert outcomes(steps) == ["done", "done", "already-so"]
    network = found(libvirt_test)
    assert network is not None
    assert (network.bridge, network.spec) == ("virbr2", moved.model_dump_json())
    assert updating.undo()
    assert found(libvirt_test) == former


def test_an_update_keeps_the_mac_address_of_the_bridge(libvirt_test: Libvirt, host: LinuxHost) -> None:
    # libvirtd draws one at the definition; its test driver does not.
    drawn = parse(NAT.libvirt_xml(REF))
    drawn.append(ET.Element("mac", address="52:54:00:0a:0b:0c"))
    host.define_network(REF, ET.tostring(drawn, encoding="unicode"))
    host.update_network(REF, NAT.model_copy(update={"gateway": IPv4Interface("10.2.0.1/24")}).libvirt_xml(REF))
    network = found(libvirt_test)
    assert network is not None
    assert network.subnets == (IPv4Interface("10.2.0.1/24"),)
    assert "<mac address='52:54:00:0a:0b:0c'/>" in libvirt_networks.lookup(libvirt_test.connection(), REF).XMLDesc(0)


def test_describe_shows_the_network_or_nothing(host: LinuxHost) -> None:
    action = StartNetwork(network=REF)
    assert host.describe(action) == ""
    host.define_network(REF, NAT.libvirt_xml(REF))
    assert "<name>office</name>" in host.describe(action)


def test_describe_shows_the_guest_of_a_card(host: LinuxHost) -> None:
    domain = DomainRef(uuid=UUID("00000000-0000-4000-8000-000000000009"), name="web1")
    card = InterfaceSpec(source=NetworkSource(network="office"), mac="52:54:00:00:00:01")
    assert "<name>web1</name>" in host.describe(AttachInterface(domain=domain, interface=card))


def test_a_guest_that_is_gone_is_named(host: LinuxHost) -> None:
    nobody = DomainRef(uuid=UUID(int=5), name="nobody")
    with pytest.raises(VerbFailed, match="guest nobody is not on this host"):
        host.attach_interface(nobody, InterfaceSpec(source=NetworkSource(network="office"), mac="52:54:00:00:00:01"))


def test_libvirtd_that_is_down_is_told_with_its_remedy(steps: list[Step]) -> None:
    host = LinuxHost(Libvirt("qemu+unix:///system?socket=/nonexistent/sock"), steps.append)
    with pytest.raises(VerbFailed, match="systemctl start libvirtd"):
        host.start_network(REF)
    assert outcomes(steps) == ["failed"]
    assert host.undo()


def test_a_range_that_libvirt_refuses_leaves_the_former_one(libvirt_test: Libvirt, host: LinuxHost) -> None:
    spec = NAT.model_copy(update={"first_lease": IPv4Address("10.1.0.10"), "last_lease": IPv4Address("10.1.0.99")})
    spec.apply(host, REF)
    network = libvirt_networks.lookup(libvirt_test.connection(), REF)
    elsewhere = ET.Element("range", start="10.9.9.1", end="10.9.9.9")
    with pytest.raises(libvirt.libvirtError, match="not entirely within"):
        libvirt_networks.replace_range(network, network_xml_changes.range_in(network.XMLDesc(0)), elsewhere)
    former = network_xml_changes.range_in(network.XMLDesc(0))
    assert (former.get("start"), former.get("end")) == ("10.1.0.10", "10.1.0.99")
