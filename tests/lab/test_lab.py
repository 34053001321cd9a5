"""The lab itself: what the other tests stand on."""

import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import pytest

from lab import Lab, LabError, LabGuest, LabHost, namespaces, prerequisites
from tests.lab.person import seconds_until
from tests.lab.pings import before_long, guest_pings, pings

pytestmark = pytest.mark.lab

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
MAC = "52:54:00:77:00:01"


def card(network: str, mac: str) -> str:
    interface = ET.Element("interface", type="network")
    ET.SubElement(interface, "mac", address=mac)
    ET.SubElement(interface, "source", network=network)
    ET.SubElement(interface, "model", type="virtio")
    return ET.tostring(interface, encoding="unicode")


@contextmanager
def started_stock_network(host: LabHost) -> Iterator[None]:
    host.libvirt().networkLookupByName("default").create()
    try:
        yield
    finally:
        host.libvirt().networkLookupByName("default").destroy()


@contextmanager
def running(guest: LabGuest) -> Iterator[LabGuest]:
    guest.start()
    try:
        guest.wait_ready()
        yield guest
    finally:
        guest.destroy()


def test_each_host_has_a_libvirtd_of_its_own(lab: Lab) -> None:
    first, second = (host.libvirt() for host in lab.hosts)
    assert [first.getHostname(), second.getHostname()] == ["hosta", "hostb"]
    uuids = [re.findall("<uuid>(.*)</uuid>", connection.getCapabilities()) for connection in (first, second)]
    assert len(uuids[0]) == 1
    assert uuids[0] != uuids[1]
    assert [[d.name() for d in c.listAllDomains()] for c in (first, second)] == [["web1"], ["db1"]]
    network = first.networkDefineXML("<network><name>only-here</name></network>")
    assert "only-here" not in second.listDefinedNetworks()
    network.undefine()


def test_the_stock_network_is_defined_and_off(lab: Lab) -> None:
    for host in lab.hosts:
        connection = host.libvirt()
        assert connection.listDefinedNetworks() == ["default"]
        assert connection.listNetworks() == []


def test_a_host_keeps_its_name_and_files_to_itself(lab: Lab) -> None:
    first, second = lab.hosts
    assert [host.run(["hostname"]).stdout for host in lab.hosts] == ["hosta\n", "hostb\n"]
    assert first.run(["cat", "/etc/machine-id"]).stdout != second.run(["cat", "/etc/machine-id"]).stdout
    for path in (
        "/etc/kvmagent/a",
        "/etc/network/interfaces.d/a",
        "/var/lib/kvmagent/a",
        "/run/kvmagent/a",
        "/etc/lab-a",
    ):
        first.run(["tee", path], input="a")
        assert second.run(["test", "-e", path], check=False).returncode == 1
        assert not Path(path).exists()


def test_a_host_sees_its_own_links_only(lab: Lab) -> None:
    assert sorted(lab.hosts[0].run(["ls", "/sys/class/net"]).stdout.split()) == ["eth0", "eth1", "lo"]


def test_each_machine_on_the_lan_reaches_the_internet_and_the_hosts(lab: Lab) -> None:
    for machine in (lab.panel, lab.client, *lab.hosts):
        assert before_long(pings, machine, lab.internet.address)
        assert before_long(pings, machine, lab.hosts[1].address)
        page = machine.run(["busybox", "wget", "-qO-", f"http://{lab.internet.address}/"])
        assert page.stdout == "the Internet\n"
    assert str(lab.internet.address) in lab.hosts[0].run(["busybox", "nslookup", "internet.example"]).stdout


def test_the_internet_hears_the_router_only(lab: Lab) -> None:
    assert not pings(lab.internet, lab.client.address)


def test_a_card_plugged_into_a_running_guest_takes_a_lease_and_reaches_the_internet(lab: Lab) -> None:
    host = lab.hosts[0]
    with running(host.guests[0]) as guest, started_stock_network(host):
        assert guest.addresses() == []
        guest.domain().attachDeviceFlags(card("default", MAC), LIVE)
        address = guest.wait_address()
        assert str(address.network) == "192.168.122.0/24"
        assert guest.addresses() == [address]
        assert before_long(guest_pings, guest, lab.internet.address)
        assert guest.run("wget -qO- http://internet.example/") == (0, "the Internet\n")
        assert before_long(pings, host, address.ip)
        assert not pings(lab.client, address.ip)

        guest.domain().detachDeviceFlags(card("default", MAC), LIVE)
        assert guest.run("while [ -e /sys/class/net/eth0 ]; do sleep 0.1; done")[0] == 0
        guest.domain().attachDeviceFlags(card("default", MAC), LIVE)
        assert guest.wait_address() == address


def test_a_guest_that_starts_with_a_card_takes_a_lease_that_comes_late(lab: Lab) -> None:
    host = lab.hosts[1]
    guest = host.guests[0]
    with started_stock_network(host):
        dnsmasq = int((host.state_dir / "root/run/libvirt/network/default.pid").read_text())
        os.kill(dnsmasq, signal.SIGSTOP)
        guest.domain().attachDeviceFlags(card("default", MAC), CONFIG)
        try:
            with running(guest):
                assert guest.addresses() == []
                os.kill(dnsmasq, signal.SIGCONT)
                assert guest.addresses() or guest.wait_address()
        finally:
            guest.domain().detachDeviceFlags(card("default", MAC), CONFIG)


def test_a_command_in_a_guest_gives_its_status_and_all_its_output(lab: Lab) -> None:
    with running(lab.hosts[0].guests[0]) as guest:
        assert guest.run("echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
        assert guest.run("hostname") == (0, "web1\n")
        assert guest.run("printf 'no line end, a token: 00000000 end 0'")[1] == "no line end, a token: 00000000 end 0"
        status, output = guest.run("seq 1 20000")
        assert (status, output.split()) == (0, [str(number) for number in range(1, 20001)])
        with pytest.raises(TimeoutError, match="sleep 60"):
            guest.run("sleep 60", timeout=1)
        assert guest.run("echo it goes on") == (0, "it goes on\n")


def test_a_guest_that_is_off_is_named_with_the_remedy(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"web1 on hosta is not running\. Start it"):
        lab.hosts[0].guests[0].run("true")


def test_a_probe_takes_a_lease_as_a_guest_would_and_goes_without_trace(lab: Lab) -> None:
    host = lab.hosts[0]
    with started_stock_network(host):
        with lab.probe(host, "virbr0", "probe1") as probe:
            assert str(probe.address).startswith("192.168.122.")
            assert probe.mac in (host.state_dir / "root/var/lib/libvirt/dnsmasq/virbr0.status").read_text()
            assert before_long(pings, probe, lab.internet.address)
            assert not pings(lab.client, probe.address)
            sleeper = probe.popen(["sleep", "1000"])
        assert sleeper.wait(timeout=5) == -signal.SIGKILL
        assert not namespaces.path(probe.namespace).exists()
        assert "probe1" not in host.run(["ip", "-br", "link"]).stdout


def test_a_probe_that_gets_no_lease_says_so_and_goes(lab: Lab) -> None:
    host = lab.hosts[0]
    host.run(["ip", "link", "add", "silent", "up", "type", "bridge"])
    probe = lab.probe(host, "silent", "probe2")
    probe.patience = 1
    with pytest.raises(LabError, match="Nobody on silent of hosta"), probe:
        pytest.fail("it has no address")
    assert not namespaces.path(probe.namespace).exists()
    host.run(["ip", "link", "delete", "silent"])


def test_a_host_that_is_cut_off_loses_its_carrier_until_it_is_reconnected(lab: Lab) -> None:
    host = lab.hosts[0]
    host.cut_off()
    try:
        assert host.run(["cat", "/sys/class/net/eth0/carrier"]).stdout == "0\n"
        assert not pings(lab.panel, host.address)
    finally:
        host.reconnect()
    # The kernel tells the switch of the carrier within a second; a neighbour that was asked for in vain is asked again.
    seconds_until(lambda: pings(lab.panel, host.address), within=30)


def test_guests_and_networks_outlive_libvirtd(lab: Lab) -> None:
    host = lab.hosts[0]
    with running(host.guests[0]) as guest, started_stock_network(host):
        host.stop_libvirtd()
        with pytest.raises(LabError, match="libvirtd on hosta does not answer"):
            host.libvirt()
        assert guest.run("true") == (0, "")
        host.start_libvirtd()
        host.restart_libvirtd()
        assert guest.domain().isActive()
        assert host.libvirt().listNetworks() == ["default"]


def test_a_program_started_on_a_host_runs_there_under_its_own_pid(lab: Lab) -> None:
    script = "hostname; echo $$; exec sleep 1000"
    with lab.hosts[1].popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline(), process.stdout.readline()] == ["hostb\n", f"{process.pid}\n"]
        process.terminate()
    assert process.returncode == -signal.SIGTERM


def test_a_program_started_on_a_host_writes_to_its_log(lab: Lab, tmp_path: Path) -> None:
    log = tmp_path / "logs/program.log"
    assert lab.hosts[1].popen(["sh", "-c", "hostname; echo trouble >&2"], log=log).wait(timeout=10) == 0
    assert log.read_text() == "hostb\ntrouble\n"


def test_a_command_that_fails_tells_where_and_what(lab: Lab) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failure:
        lab.hosts[0].run(["ip", "link", "show", "nowhere"])
    assert "on hosta: ip link show nowhere" in failure.value.__notes__[0]
    assert 'Device "nowhere" does not exist' in failure.value.__notes__[0]


def test_it_says_that_it_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root\. Run it again with sudo"):
        Lab().up()


def test_it_names_the_package_of_a_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(prerequisites.PROGRAMS, "no-such-program", "no-such-package")
    with pytest.raises(LabError, match=r"no-such-program\. Run: apt-get install no-such-package"):
        Lab().up()


def test_a_prefix_that_cannot_name_a_namespace_is_refused() -> None:
    with pytest.raises(LabError, match="cannot be a lab's prefix"):
        Lab("../../etc").up()
