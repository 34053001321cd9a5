"""A bridge over a free uplink on a real host: a guest on the LAN, and a host that is as before when it is gone."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Interface
from uuid import UUID

import pytest

from lab import Lab, LabGuest, LabHost
from tests.lab.agent_cli import KVMAGENT, apply, attach, define, detach, facts, must_apply, network, ref, undefine
from tests.lab.pings import before_long, guest_pings, pings
from tests.lab.product import Product
from tests.lab.snapshots import differences, take
from virtnet.actions import Action, UpdateNetwork
from virtnet.modes.bridge import Bridge

pytestmark = pytest.mark.lab

MAC = "52:54:00:aa:00:02"
LAN = Bridge(name="lan", bridge="br0", uplink="eth1", lasts=False)
SECOND = Bridge(name="second", bridge="br0", lasts=False)
UNDEFINED = ["done", "already-so", "done", "done"]  # it was not written into the host's configuration


def test_a_guest_is_on_the_lan_and_the_host_is_as_before_when_it_is_gone(
    lab: Lab, host: LabHost, guest: LabGuest
) -> None:
    before = take(host)
    outcomes = must_apply(host, define(LAN))
    assert outcomes == ["done"] * 7
    assert must_apply(host, define(LAN)) == ["already-so"] * 7
    assert must_apply(host, attach(guest, LAN.name, MAC)) == ["done"]
    address = guest.wait_address()
    assert address in IPv4Interface(f"{lab.client.address}/24").network
    for there in (lab.internet.address, lab.client.address, host.address, lab.hosts[1].address):
        assert before_long(guest_pings, guest, there), there
    for machine in (lab.client, host, lab.hosts[1]):
        assert before_long(pings, machine, address.ip), machine.name
    with lab.probe(host, "br0", "guest2") as other:
        assert before_long(guest_pings, guest, other.address)
    seen = {link.name: link for link in facts(host).links}
    assert (seen["br0"].mac, seen["br0"].mtu) == (seen["eth1"].mac, seen["eth1"].mtu)
    assert seen["eth1"].addresses == ()
    assert must_apply(host, detach(guest, MAC)) == ["done"]
    assert must_apply(host, undefine(LAN)) == UNDEFINED
    assert differences(host, before) == []


def test_a_second_network_stands_on_the_same_bridge_which_goes_with_the_last(lab: Lab, host: LabHost) -> None:
    before = take(host)
    must_apply(host, define(LAN))
    assert must_apply(host, define(SECOND)) == ["already-so", "already-so", "done", "done", "done"]
    status, steps, said = apply(host, undefine(LAN))
    assert status == 0, said
    assert [step.outcome for step in steps] == ["already-so", "already-so", "done", "done"]
    assert str(steps[0].detail) == "br0 stays: second stands on it."
    with lab.probe(host, "br0", "guest2") as probe:
        assert before_long(pings, lab.client, probe.address)
    assert must_apply(host, undefine(SECOND)) == UNDEFINED
    assert differences(host, before) == []


def test_a_bridge_without_an_uplink_joins_its_guests_and_nobody_else(host: LabHost) -> None:
    before = take(host)
    with network(host, Bridge(name="alone", bridge="br4", lasts=False)):
        assert facts(host).bridges["br4"] == ()
    assert differences(host, before) == []


def test_when_libvirt_refuses_the_network_the_links_are_as_before(host: LabHost) -> None:
    before = take(host)
    # libvirt cannot put its document where a directory is.
    in_the_way = f"/etc/libvirt/qemu/networks/{LAN.name}.xml"
    host.run(["mkdir", "-p", f"{in_the_way}/x"])
    try:
        status, steps, said = apply(host, define(LAN))
    finally:
        host.run(["rm", "-r", in_the_way])
    assert status == 3, said
    assert [step.outcome for step in steps] == ["done"] * 4 + ["failed"] + ["undone"] * 4
    assert "virsh net-define" in said
    assert differences(host, before) == []


def apply_and_keep(lab: Lab, host: LabHost, action: Action) -> None:
    """`kvmagent apply`, and while it waits, `kvmagent keep` from another login. The host is reached all the time."""
    pipe = subprocess.PIPE
    change = host.popen([*KVMAGENT, "apply", "-"], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    with change:
        assert change.stdin is not None
        assert change.stdout is not None
        assert change.stderr is not None
        change.stdin.write(action.model_dump_json())
        change.stdin.close()
        while "kvmagent keep" not in (line := change.stderr.readline()):
            assert line, change.stdout.read()
        assert pings(lab.client, host.address)
        host.run([*KVMAGENT, "keep"])
        assert change.wait(60) == 0, change.stderr.read()
    assert pings(lab.client, host.address)


def test_the_host_s_own_uplink_goes_into_a_bridge_and_out_again_once_somebody_confirms(
    lab: Lab, host: LabHost, guest: LabGuest
) -> None:
    before = take(host)
    spec = LAN.model_copy(update={"uplink": "eth0"})
    apply_and_keep(lab, host, define(spec))
    seen = {link.name: link for link in facts(host).links}
    assert host.address in [address.ip for address in seen["br0"].addresses]
    assert must_apply(host, attach(guest, LAN.name, MAC)) == ["done"]
    address = guest.wait_address()
    assert before_long(pings, lab.client, address.ip)
    assert before_long(pings, host, address.ip)
    assert must_apply(host, detach(guest, MAC)) == ["done"]
    apply_and_keep(lab, host, undefine(spec))
    assert differences(host, before) == []


def test_nobody_confirms_and_the_host_s_own_uplink_is_as_before(lab: Lab, host: LabHost) -> None:
    before = take(host)
    order = define(LAN.model_copy(update={"uplink": "eth0"})).model_dump_json()
    short = ["env", "KVMAGENT_CONFIRM_SECONDS=4"]
    done = host.run([*short, *KVMAGENT, "apply", "-"], input=order, check=False, timeout=90)
    assert done.returncode == 3, done.stderr
    assert "Nobody confirmed the change in time" in done.stderr
    assert differences(host, before) == []
    assert pings(lab.client, host.address)
    assert host.run([*KVMAGENT, "keep"], check=False).returncode == 1


def test_it_refuses_an_uplink_with_an_address_from_dhcp(host: LabHost) -> None:
    leased = ["10.88.0.1/24", "dev", "eth1", "valid_lft", "900", "preferred_lft", "900"]
    host.run(["ip", "address", "add", *leased])
    try:
        status, steps, said = apply(host, define(LAN))
    finally:
        host.run(["ip", "address", "del", "10.88.0.1/24", "dev", "eth1"])
    assert (status, steps) == (1, [])
    assert "eth1 has its address 10.88.0.1/24 from DHCP" in said


def test_it_refuses_a_port_of_another_bridge(host: LabHost) -> None:
    host.run(["ip", "link", "add", "br7", "type", "bridge"])
    host.run(["ip", "link", "set", "eth1", "master", "br7"])
    try:
        status, steps, said = apply(host, define(LAN))
    finally:
        host.run(["ip", "link", "del", "br7"])
    assert (status, steps) == (1, [])
    assert "eth1 is a port of br7 already" in said


def test_it_refuses_a_name_of_16_characters(host: LabHost) -> None:
    order = define(LAN).model_dump_json().replace('"br0"', '"bridge-of-16-char"')
    done = host.run([*KVMAGENT, "apply", "-"], input=order, check=False)
    assert done.returncode == 2
    assert "longer than 15 characters" in done.stderr


def test_it_refuses_a_name_that_is_taken(host: LabHost) -> None:
    status, steps, said = apply(host, define(LAN.model_copy(update={"bridge": "eth0"})))
    assert (status, steps) == (1, [])
    assert "eth0 is a link of this host, but no bridge" in said
    with network(host, LAN):
        status, steps, said = apply(host, define(Bridge(name="third", bridge="br0", uplink="eth0", lasts=False)))
        assert (status, steps) == (1, [])
        assert "br0 is there already, and its ports stay as they are" in said


def test_after_a_restart_without_the_bridge_libvirt_starts_and_the_bridge_is_made_again(host: LabHost) -> None:
    before = take(host)
    must_apply(host, define(LAN))
    # As the host's next start leaves it: no bridge, and an uplink that nobody has touched.
    host.libvirt().networkLookupByName(LAN.name).destroy()
    host.stop_libvirtd()
    host.run(["ip", "link", "del", "br0"])
    host.run(["ip", "link", "set", "eth1", "down"])
    host.write_sysctl("net.ipv6.conf.eth1.disable_ipv6", "0")
    host.start_libvirtd()
    network = host.libvirt().networkLookupByName(LAN.name)
    assert network.autostart()
    if not network.isActive():  # libvirt starts networks by itself only once for each boot of the machine
        network.create()
    assert must_apply(host, UpdateNetwork(network=ref(LAN.name), spec=LAN))[0] == "done"
    assert facts(host).bridges["br0"] == ("eth1",)
    must_apply(host, undefine(LAN))
    assert differences(host, before) == []


def test_a_person_makes_and_undefines_it_by_the_panel(product: Product) -> None:
    lab, host, person = product.lab, product.lab.hosts[1], product.person
    before = take(host)
    path = f"/hosts/{host.name}/networks/new/bridge/"
    assert "lasts until the host&#x27;s next start" in person.browser.get(path)
    fields = {"name": LAN.name, "bridge": LAN.bridge, "uplink": "eth1"}
    made = UUID(person.browser.post(path, fields).rstrip("/").rpartition("/")[2])
    person.await_state(made, "applied", within=30)
    with lab.probe(host, "br0", "guest2") as probe:
        assert before_long(pings, lab.client, probe.address)
    network = person.network_id(host, LAN.name)
    # A libvirtd that was started just now looks QEMU through for some seconds and answers nobody meanwhile.
    person.await_found(network, within=30)
    person.await_state(person.undefine_network(network), "applied", within=30)
    assert differences(host, before) == []
