"""Networks that others made: whatever libvirt accepts is read and shown as what it is."""

from __future__ import annotations

from uuid import UUID

import libvirt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.libvirt.grammar import network_documents
from tests.virtnet.generated import GENERATED
from tests.virtnet.test_read_network import FILES, NETWORKS, expected_mode
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.modes import MODES
from virtnet.read_network import LONGEST_NAME, NO_UUID, read

FORWARD_MODES = {"nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev"}


def read_back(network: libvirt.virNetwork) -> NetworkFacts:
    return read(
        network.XMLDesc(),
        active=bool(network.isActive()),
        persistent=bool(network.isPersistent()),
        autostart=bool(network.autostart()),
    )


@pytest.mark.parametrize("file", FILES)
def test_an_example_is_the_same_before_and_after_libvirt_had_it(driver: libvirt.virConnect, file: str) -> None:
    xml = (NETWORKS / f"{file}.xml").read_text(encoding="utf-8")
    network = driver.networkDefineXML(xml)
    found = read_back(network)
    assert found.mode == expected_mode(file)
    assert found.uuid != NO_UUID
    written = read(xml, active=False, persistent=True, autostart=False)
    # libvirt writes a newline in an attribute as it is, and XML reads that as a space.
    devs = tuple(dev.replace("\n", " ") for dev in written.devs)
    assert (found.name, found.bridge, found.devs, found.subnets, found.spec) == (
        *(written.name, written.bridge, devs, written.subnets, written.spec),
    )


def test_whatever_libvirt_accepts_is_read_and_crosses_the_wire(driver: libvirt.virConnect) -> None:
    modes: dict[str, int] = {}
    refused: list[str] = []

    @settings(GENERATED, suppress_health_check=list(HealthCheck))
    @given(network_documents(), st.booleans())
    def generated(xml: str, validate: bool) -> None:
        flags = libvirt.VIR_NETWORK_DEFINE_VALIDATE if validate else 0
        try:
            network = driver.networkDefineXMLFlags(xml, flags)
        except libvirt.libvirtError:
            refused.append(xml)
            return
        try:
            found, known = read_back(network), (UUID(network.UUIDString()), network.name()[:LONGEST_NAME])
        finally:
            network.undefine()
        assert (found.uuid, found.name) == known
        assert found.mode in {*MODES, *FORWARD_MODES}
        facts = HostFacts(networks=(found,))
        assert HostFacts.model_validate_json(facts.model_dump_json()).digest() == facts.digest()
        modes[found.mode] = modes.get(found.mode, 0) + 1

    generated()
    # The grammar is worth its name: libvirt takes most modes of it, and not everything.
    assert set(modes) >= {*MODES, "route", "open"}
    assert sum(modes.values()) > len(refused) / 10
    assert refused


@pytest.mark.parametrize("name", ["&lt;", "&amp;", "a&apos;b", "&lt;&apos;&amp;&quot;", "a&apos;/&gt;&#10;&lt;"])
@pytest.mark.parametrize(
    "odd",
    [
        "<domain name='{}' localOnly='yes'/>",
        "<portgroup name='{}' default='yes'><vlan><tag id='4'/></vlan></portgroup>",
        "<virtualport type='openvswitch'><parameters profileid='{}'/></virtualport>",
    ],
)
def test_a_name_that_libvirt_does_not_escape_hides_no_network(driver: libvirt.virConnect, odd: str, name: str) -> None:
    forward = "<forward mode='bridge'/><bridge name='br0'/>" if "virtualport" in odd else "<forward mode='route'/>"
    ip = "" if "virtualport" in odd else "<ip address='10.9.0.1' prefix='24'/>"
    network = driver.networkDefineXML(f"<network><name>odd</name>{forward}{odd.format(name)}{ip}</network>")
    found = read_back(network)
    assert (found.name, found.mode) == ("odd", "bridge" if "virtualport" in odd else "route")
    broken_off = "&#10;" in name and "domain" in odd
    assert [str(subnet) for subnet in found.subnets] == (["10.9.0.1/24"] if ip and not broken_off else [])
