"""The power is cut: a Debian with a kernel and a disk of its own, emulated, its uplink the only way to it.

The change is made once, and at each point of it the disk is copied as a power cut would leave it; then the machine is
killed and started from each copy. What it had not yet written to its disk is lost, as it is not in a container. In the
soak a guest is there too, on the network that the change makes: after the last point, and after a restart, it is back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from lab import Lab, disk_image
from lab.disk_machine import BOOT_SECONDS, DiskMachine
from lab.inner_guest import InnerGuest
from lab.network_owners import Owner
from tests.lab.restarted import (
    AGENT_SECONDS,
    DEFINE,
    OWNERS,
    PORTS,
    SPEC,
    STATIC,
    SUBNET,
    Restarted,
    on_the_bridge,
    started,
)

# A minute and a half on a quiet machine, the soak ten times that; a busy one takes several times as long.
SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(7200 if SOAK else 1200)]

APPLY = "env PYTHONPATH=/opt/kvmpanel/source:/opt/kvmpanel/packages PYTHONDONTWRITEBYTECODE=1 "
APPLY += "/usr/bin/python3 -m tests.lab.at_each_point"
ADDRESS = str(IPv4Interface(STATIC).ip)
# After it the change waits for the word; what follows until the files are written whole may leave the one or the other.
LAST_BEFORE_THE_WORD, FILES_WRITTEN, END = "-set_mtu", "-persist_bridge", "-end"
# A guest's emulated processor within an emulated one: some 20 s on a quiet machine.
GUEST_SECONDS = 600.0
# The soak cuts at all points, for all four owners.
CUTS: dict[Owner, tuple[str, ...]] = {
    "networkd": (LAST_BEFORE_THE_WORD, "-kvmpanel-br0.network", END),
}


@pytest.fixture(scope="module")
def lan() -> Iterator[Lab]:
    with Lab(prefix=f"c{os.getpid()}", hosts=0, guests_per_host=0, subnet=SUBNET) as lab:
        yield lab


@pytest.mark.parametrize("owner", OWNERS if SOAK else tuple(CUTS))
def test_before_the_word_the_old_network_is_back_and_after_it_the_bridge(
    lan: Lab, owner: Owner, tmp_path: Path
) -> None:
    begun = time.monotonic()
    cuts = ("",) if SOAK else CUTS[owner]
    machine = DiskMachine(lan, disk_image.ensure(print), "emulated", owner, IPv4Interface(STATIC), guests=SOAK)
    guest = InnerGuest(lan, machine, "guest", SPEC.name) if SOAK else None
    with started(lan, machine) as host:
        machine.await_true("ip -4 route | grep -q ^default", BOOT_SECONDS)
        if guest is not None:
            guest.define()
        former, files = host.network(), host.files()
        made = on_the_bridge(former)
        points = copies_at_the_points(host, machine, tmp_path, cuts)
        host.await_network(made)
        written = host.files()
        took = time.monotonic() - begun
        before, after = parts(points)
        assert len(before) >= 5
        assert len(after) >= 5
        cut = [point for point in points if point.endswith(cuts)]
        assert len(cut) >= len(cuts)
        for point in cut:
            machine.cut_power()
            machine.put_disk(tmp_path / point)
            leased = guest.lease() if guest is not None else None
            machine.boot()
            if point in before:
                host.await_network(former)
                assert (host.files(), host.kept()) == (files, []), point
            elif point in after:
                host.await_network(made)
                assert host.files() == written, point
                assert machine.run(PORTS).split()[0] == "eth0", point
            else:
                host.await_network(former, made)
            host.await_answer(ADDRESS)
            host.stays(former, made)
            if guest is not None and point.endswith(END):
                print(f"the guest is back: {host.await_guest(guest, leased, GUEST_SECONDS)}")
            print(f"{owner}, power cut at {point}: the network is on {', '.join(host.network().addresses)}")
        machine.await_true("virsh net-list --name | grep -qx lan")
        if guest is not None:
            guest.destroy()
            machine.power_off()
            leased = guest.lease()
            machine.boot()
            host.await_network(made)
            print(f"the guest is back: {host.await_guest(guest, leased, GUEST_SECONDS)}")
        print(
            f"{owner}: {len(cut)} cuts of {len(points)} points, made in {took:.0f} s, {time.monotonic() - begun:.0f} s"
        )


def copies_at_the_points(host: Restarted, machine: DiskMachine, place: Path, cuts: tuple[str, ...]) -> list[str]:
    """The bridge is made and kept, all points in their order. cuts: ends of the names of those whose disk is copied to
    `place`, under the point's name."""
    points: list[str] = []
    host.begin(DEFINE, APPLY)
    while not points or not points[-1].endswith(END):
        points.append(await_point(machine, len(points)))
        if points[-1].endswith(cuts):
            machine.copy_disk(place / points[-1])
        machine.give(points[-1], "")
        if points[-1].endswith(LAST_BEFORE_THE_WORD):
            host.await_change()
            host.keep()
    host.await_end()
    return points


def await_point(machine: DiskMachine, number: int) -> str:
    deadline = time.monotonic() + AGENT_SECONDS
    while len(told := machine.told()) <= number:
        assert time.monotonic() < deadline, f"no point after {told}"
        time.sleep(0.005)
    return told[number]


def parts(points: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Before the word, and once the files are written."""
    word, written = (
        next(number for number, point in enumerate(points) if point.endswith(end))
        for end in (LAST_BEFORE_THE_WORD, FILES_WRITTEN)
    )
    return points[: word + 1], points[written:]
