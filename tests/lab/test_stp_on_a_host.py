"""Two cables of a host into one LAN, by the panel: STP blocks the loop, and the change is confirmed in time.

The host's only way to the panel is the first of the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from lab import LabHost
from tests.lab.person import seconds_until
from tests.lab.pings import pings
from tests.lab.product import Product
from tests.lab.snapshots import differences, take

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

FIELDS = {
    "name": "lan",
    "bridge": "br0",
    "uplink": "eth0",
    "second_uplink": "eth1",
    "forward_delay": "2",
}
SWITCH = "br0"  # in the LAN's namespace


@pytest.fixture
def host(product: Product) -> LabHost:
    return product.lab.hosts[1]


def ports(host: LabHost) -> dict[str, str]:
    """Port of br0 -> its state in the spanning tree."""
    shown = json.loads(host.run(["bridge", "-j", "link", "show"]).stdout)
    return {port["ifname"]: port["state"] for port in shown if port.get("master") == "br0"}


def received(host: LabHost) -> int:
    """Packets that came by both cables so far."""
    shown = json.loads(host.run(["ip", "-j", "-s", "link", "show"]).stdout)
    return sum(link["stats64"]["rx"]["packets"] for link in shown if link["ifname"] in {"eth0", "eth1"})


def asked_for(product: Product, host: LabHost, **fields: str) -> UUID:
    where = product.person.browser.post(f"/hosts/{host.name}/networks/new/bridge/", FIELDS | fields)
    return UUID(where.rstrip("/").rpartition("/")[2])


def kept(product: Product, change: UUID, *, within: float) -> None:
    """The host has reached the panel over a new connection, and a person keeps the change."""
    print(f"armed after {product.person.await_state(change, 'armed', within=within):.1f} s")
    product.person.browser.post(f"/changes/{change}/keep/", {})
    product.person.await_state(change, "applied", within=30)


def removed(product: Product, host: LabHost) -> None:
    network = product.person.network_id(host, "lan")
    product.person.await_found(network, within=30)
    kept(product, product.person.undefine_network(network), within=30)


@contextmanager
def root_switch(product: Product, host: LabHost) -> Iterator[None]:
    """The LAN's switch is the root of the tree, and likes the host's second cable better: the first is blocked."""
    lan = product.lab.lan
    lan.run(["ip", "link", "set", SWITCH, "type", "bridge", "forward_delay", "200", "stp_state", "1", "priority", "0"])
    lan.run(["ip", "link", "set", f"{host.name}-eth1", "type", "bridge_slave", "priority", "1"])
    try:
        yield
    finally:
        lan.run(["ip", "link", "set", f"{host.name}-eth1", "type", "bridge_slave", "priority", "32"])
        lan.run(["ip", "link", "set", SWITCH, "type", "bridge", "stp_state", "0"])
        lan.run(["ip", "link", "set", SWITCH, "type", "bridge", "forward_delay", "0", "priority", "32768"])


def test_without_stp_the_form_refuses_a_second_uplink_at_its_field(product: Product, host: LabHost) -> None:
    path = f"/hosts/{host.name}/networks/new/bridge/"
    page = product.person.browser.submit(path, FIELDS | {"step": "preview"}).page
    assert "are a loop without STP" in page


def test_the_loop_is_blocked_and_a_guest_is_on_the_lan_by_two_cables(product: Product, host: LabHost) -> None:
    lab = product.lab
    before = take(host)
    kept(product, asked_for(product, host, stp="on"), within=30)
    seconds_until(lambda: sorted(ports(host).values()) == ["blocking", "forwarding"], 20)
    with lab.probe(host, "br0", "guest2") as probe:
        seconds_until(lambda: pings(lab.client, probe.address), 20)
        # A broadcast that went round for ever would be some hundred thousand packets by now.
        begun = received(host)
        nobody = lab.subnet.broadcast_address - 5
        lab.client.run(["ping", "-c3", "-i0.5", "-W1", str(nobody)], check=False)
        assert received(host) - begun < 1000
    seconds_until(lambda: pings(lab.client, host.address), 20)
    # The second cable goes again, and STP with it, from the network's own page.
    network = product.person.network_id(host, "lan")
    product.person.await_found(network, within=30)
    one = {name: value for name, value in FIELDS.items() if name != "second_uplink"}
    where = product.person.browser.post(f"/networks/{network}/edit/", one)
    kept(product, UUID(where.rstrip("/").rpartition("/")[2]), within=30)
    assert ports(host) == {"eth0": "forwarding"}
    removed(product, host)
    assert differences(host, before) == []


def test_a_host_that_is_mute_for_a_while_is_confirmed_when_it_speaks_again(product: Product, host: LabHost) -> None:
    before = take(host)
    with root_switch(product, host):
        kept(product, asked_for(product, host, stp="on"), within=40)
        seconds_until(lambda: ports(host) == {"eth0": "blocking", "eth1": "forwarding"}, 30)
        # The switch sends by the first cable until it has heard of the change.
        seconds_until(lambda: pings(product.lab.client, host.address), 30)
        removed(product, host)
        assert differences(host, before) == []


def test_undone_by_a_person_all_is_as_before(product: Product, host: LabHost) -> None:
    before = take(host)
    change = asked_for(product, host, stp="on")
    product.person.await_state(change, "armed", within=30)
    product.person.browser.post(f"/changes/{change}/undo/", {})
    product.person.await_state(change, "taken-back", within=30)
    assert differences(host, before) == []
    seconds_until(lambda: pings(product.lab.client, host.address), 20)
