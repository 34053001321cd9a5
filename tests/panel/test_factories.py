"""The tests' own hosts are hosts as the panel has them."""

from __future__ import annotations

from hosts.models import Host
from networks.models import Network, VmInterface
from tests.panel.factories import WEB_MAC, host_facts


def test_a_made_host_reads_back_as_its_facts(host: Host) -> None:
    host.refresh_from_db()
    assert host.read_facts() == host_facts()
    assert host.read_facts().digest() == host.facts_digest
    lab, default = Network.objects.order_by("-name")
    assert (default.name, default.is_managed) == ("default", False)
    assert (lab.name, lab.is_managed) == ("lab", True)
    assert VmInterface.objects.get(mac=WEB_MAC).network_name == "default"


def test_a_silent_host_is_silent(silent_host: Host, host: Host) -> None:
    assert silent_host.is_silent
    assert not host.is_silent
