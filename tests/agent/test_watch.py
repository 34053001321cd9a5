"""The watch in a network of its own, on libvirt's test driver, with lease files of its own."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvmagent import watch
from kvmagent.libvirt_connection import Libvirt
from kvmagent.watch import Watch

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("own_network")]


class Told:
    """Counts the calls of `changed`."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.times: list[float] = []

    def __call__(self) -> None:
        with self._condition:
            self.times.append(time.monotonic())
            self._condition.notify_all()

    def within(self, seconds: float) -> bool:
        """Whether there is a call, or comes one."""
        with self._condition:
            return self._condition.wait_for(lambda: bool(self.times), seconds)

    def after(self, change: Callable[[], object]) -> float:
        """Seconds from a change until it is told; AssertionError when it is not within 2."""
        self.times.clear()
        before = time.monotonic()
        change()
        assert self.within(2.0), "nothing was told"
        return self.times[0] - before


@pytest.fixture
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "lib" / "dnsmasq"  # not there yet
    monkeypatch.setattr(watch, "DIRECTORIES", (directory,))
    return directory


@pytest.fixture
def libvirt_test() -> Iterator[Libvirt]:
    libvirt = Libvirt("test:///default")
    yield libvirt
    # All connections of a process to test:///default see the same networks, those of other tests too.
    network = libvirt.connection().networkLookupByName("default")
    if not network.isActive():
        network.create()
    libvirt.close()


@pytest.fixture
def told(libvirt_test: Libvirt, leases: Path) -> Iterator[Told]:
    told = Told()
    watching = Watch(libvirt_test, told)
    watching.start()
    assert told.within(2.0), "the connection was not told"
    while told.times:  # the flock of the beginning ends
        told.times.clear()
        told.within(0.5)
    yield told
    watching.stop()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def test_a_network_event_is_told(told: Told, libvirt_test: Libvirt) -> None:
    network = libvirt_test.connection().networkLookupByName("default")
    assert told.after(network.destroy) < 1
    assert told.after(network.create) < 1


def test_a_domain_event_is_told(told: Told, libvirt_test: Libvirt) -> None:
    domain = libvirt_test.connection().lookupByName("test")
    assert told.after(domain.destroy) < 1


def test_links_addresses_and_routes_are_told(told: Told) -> None:
    assert told.after(lambda: ip("link", "add", "br0", "type", "bridge")) < 1
    assert told.after(lambda: ip("link", "set", "br0", "up")) < 1
    assert told.after(lambda: ip("address", "add", "10.1.0.1/24", "dev", "br0")) < 1
    assert told.after(lambda: ip("route", "add", "10.2.0.0/16", "via", "10.1.0.9")) < 1


def test_a_lease_file_in_a_directory_that_came_later_is_told(told: Told, leases: Path) -> None:
    assert told.after(lambda: leases.mkdir(parents=True)) < 1
    assert told.after(lambda: (leases / "virbr1.status").write_text("[]")) < 1

    def renew() -> None:  # as libvirt's lease helper writes it
        (leases / "virbr1.status.new").write_text("[{}]")
        (leases / "virbr1.status.new").rename(leases / "virbr1.status")

    assert told.after(renew) < 1


def test_other_files_are_not_told(told: Told, leases: Path) -> None:
    leases.mkdir(parents=True)
    assert told.within(1.0)
    told.times.clear()
    (leases / "virbr1.pid").write_text("1")
    assert not told.within(0.6)


def test_a_flock_of_changes_is_told_once(told: Told, leases: Path) -> None:
    def flock() -> None:
        for number in range(20):
            ip("link", "add", f"br{number}", "type", "bridge")

    told.after(flock)
    told.within(0.5)
    assert len(told.times) <= 2


def test_changes_without_end_are_told_all_the_same(told: Told) -> None:
    over = threading.Event()
    told.times.clear()
    touching = threading.Thread(target=_touch_until, args=(over,))
    touching.start()
    try:
        assert told.within(2.0)
    finally:
        over.set()
        touching.join()


def _touch_until(over: threading.Event) -> None:
    subprocess.run(["ip", "link", "add", "br0", "type", "bridge"], check=True)
    mtu = 1400
    while not over.wait(0.05):
        mtu += 1
        subprocess.run(["ip", "link", "set", "br0", "mtu", str(mtu)], check=True)


def test_after_stop_nothing_is_told(libvirt_test: Libvirt, leases: Path) -> None:
    told = Told()
    watching = Watch(libvirt_test, told)
    watching.start()
    assert told.within(2.0)
    watching.stop()
    told.times.clear()
    ip("link", "add", "br0", "type", "bridge")
    libvirt_test.connection().networkLookupByName("default").destroy()
    assert not told.within(0.6)


WITHOUT_INOTIFY = """
import subprocess, threading
from pathlib import Path
from kvmagent.libvirt_connection import Libvirt
from kvmagent.watch import Watch
from kvmagent.watchdog import end_with_any_thread

Path("/proc/sys/user/max_inotify_instances").write_text("0")
end_with_any_thread()
told = threading.Event()
Watch(Libvirt("test:///default"), told.set).start()
assert told.wait(10)
while told.wait(1):  # the flock of the beginning ends
    told.clear()
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
assert told.wait(10)
print("told")
"""


def test_a_host_that_has_no_inotify_left_for_us_is_watched_all_the_same() -> None:
    """Its own user namespace has limits of its own, so that nobody else goes without."""
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", WITHOUT_INOTIFY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
    assert "changes of libvirt's files are not heard of" in done.stderr
