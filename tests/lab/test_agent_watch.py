"""What changes on a host is in the facts within 2 s, without polling."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface
from uuid import UUID

import pytest

from lab import Lab, LabHost
from tests.lab.agent_cli import apply, attach, detach, domain, must_apply, network, ref
from virtnet.actions import DestroyNetwork, StartNetwork, UpdateNetwork
from virtnet.facts import HostFacts
from virtnet.filter_actions import SetInboundPolicy
from virtnet.inbound import InboundPolicy
from virtnet.modes.nat import Nat
from virtnet.refs import NetworkRef

pytestmark = pytest.mark.lab

SECONDS = 2.0
NAT = Nat(name="watched", bridge="virbr7", gateway=IPv4Interface("192.168.97.1/24"))


class Watcher:
    """The program print_facts on a host, and what it has told."""

    def __init__(self, host: LabHost) -> None:
        self.host = host
        self._told: queue.Queue[tuple[float, str]] = queue.Queue()
        self._process: subprocess.Popen[str] = host.popen(
            [sys.executable, "-m", "tests.lab.print_facts"], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told.put((time.monotonic(), line))

    def await_facts(self, are: Callable[[HostFacts], bool], timeout: float) -> float:
        """The moment (monotonic) at which facts came that are so. AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                at, line = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no such facts within {timeout} s") from None
            if are(HostFacts.model_validate_json(line)):
                return at

    def silent_for(self, seconds: float) -> bool:
        try:
            self._told.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def stop(self) -> int:
        self._process.terminate()
        status = self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


def let_libvirtd_try_qemu_out(host: LabHost) -> None:
    """Here it does so after each start, for 4 to 8 s, and answers nothing about domains meanwhile."""
    connection = host.libvirt()
    connection.getVersion()
    connection.close()


@pytest.fixture
def watcher(lab: Lab) -> Iterator[Watcher]:
    let_libvirtd_try_qemu_out(lab.hosts[1])
    watcher = Watcher(lab.hosts[1])
    try:
        watcher.await_facts(lambda found: found.libvirt_error is None, timeout=15)
        yield watcher
    finally:
        assert watcher.stop() == 0


def is_active(name: str) -> Callable[[HostFacts], bool]:
    return lambda found: any(network.name == name and network.active for network in found.networks)


def seen_after(watcher: Watcher, command: list[str], are: Callable[[HostFacts], bool]) -> float:
    """Seconds from the end of the command until the facts told it."""
    watcher.host.run(command)
    ended = time.monotonic()
    return watcher.await_facts(are, SECONDS + 1) - ended


def test_a_network_that_somebody_starts_and_stops(watcher: Watcher) -> None:
    assert seen_after(watcher, ["virsh", "net-start", "default"], is_active("default")) < SECONDS
    assert seen_after(watcher, ["virsh", "net-destroy", "default"], lambda f: not is_active("default")(f)) < SECONDS


def test_autostart_which_libvirt_sends_no_event_for(watcher: Watcher) -> None:
    def starts_with_the_host(found: HostFacts) -> bool:
        return any(network.name == "default" and network.autostart for network in found.networks)

    assert seen_after(watcher, ["virsh", "net-autostart", "default"], starts_with_the_host) < SECONDS
    back = ["virsh", "net-autostart", "default", "--disable"]
    assert seen_after(watcher, back, lambda found: not starts_with_the_host(found)) < SECONDS


def test_a_link_and_its_address(watcher: Watcher) -> None:
    added = ["ip", "link", "add", "seen0", "type", "bridge"]
    assert seen_after(watcher, added, lambda found: found.link("seen0") is not None) < SECONDS

    def has_address(found: HostFacts) -> bool:
        link = found.link("seen0")
        return link is not None and "10.98.0.1/24" in [str(address) for address in link.addresses]

    assert seen_after(watcher, ["ip", "address", "add", "10.98.0.1/24", "dev", "seen0"], has_address) < SECONDS
    gone = ["ip", "link", "delete", "seen0"]
    assert seen_after(watcher, gone, lambda found: found.link("seen0") is None) < SECONDS


def test_a_lease_that_is_taken(lab: Lab, watcher: Watcher) -> None:
    def leases(found: HostFacts) -> list[str]:
        return [str(lease.address) for network in found.networks for lease in network.leases]

    watcher.host.run(["virsh", "net-start", "default"])
    try:
        with lab.probe(watcher.host, "virbr0", "lessee") as probe:
            taken = time.monotonic()
            address = str(probe.address).partition("/")[0]
            assert watcher.await_facts(lambda found: address in leases(found), SECONDS + 1) - taken < SECONDS
    finally:
        watcher.host.run(["virsh", "net-destroy", "default"])


def test_the_panel_s_rules_and_libvirt_s_when_somebody_flushes_them(watcher: Watcher) -> None:
    def in_force(found: HostFacts) -> bool | None:
        return found.filtering.rules_in_force

    host = watcher.host
    default = NetworkRef(uuid=UUID(host.libvirt().networkLookupByName("default").UUIDString()), name="default")
    start, stop = StartNetwork(network=default), DestroyNetwork(network=default)
    must_apply(host, start)
    must_apply(host, stop)
    with network(host, NAT):
        watcher.await_facts(lambda found: in_force(found) is True, SECONDS + 1)
        assert seen_after(watcher, ["nft", "flush", "ruleset"], lambda found: in_force(found) is False) < SECONDS
        # Nobody has put them back meanwhile; an update of the network does.
        assert "kvmpanel" not in host.run(["nft", "list", "tables"]).stdout
        must_apply(host, UpdateNetwork(network=ref(NAT.name), spec=NAT))
        watcher.await_facts(lambda found: in_force(found) is True, SECONDS + 1)
    # libvirt's chains went too, and it makes them once after each of its starts.
    _, steps, _ = apply(host, start)
    (failed,) = [step for step in steps if step.outcome == "failed"]
    assert "systemctl restart libvirtd" in str(failed.detail)
    host.restart_libvirtd()
    let_libvirtd_try_qemu_out(host)
    must_apply(host, start)
    must_apply(host, stop)


def test_what_is_let_in_to_a_guest_when_somebody_flushes_it(watcher: Watcher) -> None:
    host = watcher.host
    guest = host.guests[0]
    mac = "52:54:00:aa:00:09"

    def loaded(found: HostFacts) -> list[bool]:
        return [one.loaded for domain in found.domains if domain.name == guest.name for one in domain.inbound]

    host.run(["virsh", "net-start", "default"])
    must_apply(host, attach(guest, "default", mac))
    try:
        must_apply(host, SetInboundPolicy(domain=domain(guest), mac=mac, policy=InboundPolicy()))
        watcher.await_facts(lambda found: loaded(found) == [True], SECONDS + 1)
        flushed = ["nft", "flush", "table", "bridge", "kvmpanel"]
        deleted = ["nft", "delete", "table", "bridge", "kvmpanel"]
        host.run(flushed)
        assert seen_after(watcher, deleted, lambda found: loaded(found) == [False]) < SECONDS
    finally:
        must_apply(host, detach(guest, mac))
        host.run(["virsh", "net-destroy", "default"])


def test_libvirtd_that_goes_and_comes_back(watcher: Watcher) -> None:
    before = time.monotonic()
    watcher.host.stop_libvirtd()
    gone = watcher.await_facts(lambda found: found.libvirt_error is not None and found.networks != (), 5)
    watcher.host.start_libvirtd()
    let_libvirtd_try_qemu_out(watcher.host)
    started = time.monotonic()
    back = watcher.await_facts(lambda found: found.libvirt_error is None, SECONDS + 1)
    assert back - started < SECONDS
    assert gone - before < SECONDS
    # Its events come over the new connection.
    assert seen_after(watcher, ["virsh", "net-start", "default"], is_active("default")) < SECONDS
    assert seen_after(watcher, ["virsh", "net-destroy", "default"], lambda f: not is_active("default")(f)) < SECONDS


def test_nothing_is_told_while_nothing_changes(watcher: Watcher) -> None:
    while not watcher.silent_for(2.0):  # the end of what the tests before have stirred up
        pass
    assert watcher.silent_for(5.0)
