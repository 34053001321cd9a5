"""The power is cut, for each owner of the network, as a container: bridge and guest are back without agent or panel.

Between two files of the bridge's the host has its old network or the bridge, never both; test_power_cuts cuts at every
other point too. `make soak` has all four owners.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest

from lab import Lab
from lab.inner_guest import InnerGuest
from lab.network_owners import Owner
from lab.system_container import SystemContainer
from tests.lab.restarted import DEFINE, OWNERS, REF, SPEC, STATIC, SUBNET, Restarted, on_the_bridge, started
from virtnet.actions import AnyAction, UndefineNetwork

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
UNDEFINE = UndefineNetwork(network=REF, spec=SPEC)
ADDRESS = str(IPv4Interface(STATIC).ip)
GUEST_SECONDS = 200.0  # usually 10
RECORD = "/var/lib/kvmagent/bridges/br0.json"
PYTHON = "PYTHONPATH=/opt/kvmpanel/source:/opt/kvmpanel/packages PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -c"
WRITE_FIRST = """
from kvmagent.persist import bridge, files
record = bridge.record_of("br0")
files.put_back(record.changes, "br0")
files.write(record.changes[:{number}])
"""


@pytest.fixture(scope="module")
def lan() -> Iterator[Lab]:
    with Lab(prefix=f"f{os.getpid()}", hosts=0, guests_per_host=0, subnet=SUBNET) as lab:
        yield lab


@pytest.mark.parametrize("owner", OWNERS if SOAK else ("netplan", "networkmanager"))
def test_bridge_and_guest_are_back_and_between_two_files_it_is_one_network_or_the_other(lan: Lab, owner: Owner) -> None:
    machine = SystemContainer(lan, "debian", owner, IPv4Interface(STATIC), guests=True)
    with started(lan, machine) as host:
        former = host.network()
        carry_out(host, DEFINE)
        made, written = host.network(), host.files()
        assert made == on_the_bridge(former)

        guest = InnerGuest(lan, machine, "guest", SPEC.name)
        guest.define()
        machine.cut_power()
        leased = guest.lease()
        machine.boot()
        host.await_network(made)
        host.await_guest(guest, leased, GUEST_SECONDS)
        guest.undefine()

        changes = json.loads(machine.read(RECORD))["changes"]
        assert len(changes) > 1
        for number in range(1, len(changes)):
            machine.run(f"{PYTHON} '{WRITE_FIRST.format(number=number)}'")
            machine.cut_power()
            machine.boot()
            host.await_network(former, made)
            host.await_answer(ADDRESS)
            host.stays(former, made)

        # What was cut off there is finished by the next try.
        carry_out(host, DEFINE)
        assert (host.network(), host.files()) == (made, written)


if SOAK:

    @pytest.mark.parametrize("owner", OWNERS)
    def test_the_power_is_cut_while_the_bridge_is_taken_away(lan: Lab, owner: Owner) -> None:
        machine = SystemContainer(lan, "debian", owner, IPv4Interface(STATIC))
        with started(lan, machine) as host:
            former, files = host.network(), host.files()
            carry_out(host, DEFINE)
            made, written = host.network(), host.files()

            # Before the word it comes back.
            host.begin(UNDEFINE)
            host.await_change()
            host.await_network(former)
            machine.cut_power()
            machine.boot()
            host.await_network(made)
            host.await_answer(ADDRESS)
            host.stays(made)
            assert host.files() == written

            # After it all is as before, to the byte.
            carry_out(host, UNDEFINE)
            machine.cut_power()
            machine.boot()
            host.await_network(former)
            host.await_answer(ADDRESS)
            host.stays(former)
            assert (host.files(), host.kept()) == (files, [])


def carry_out(host: Restarted, action: AnyAction) -> None:
    host.begin(action)
    host.await_change()
    host.keep()
    host.await_end()
