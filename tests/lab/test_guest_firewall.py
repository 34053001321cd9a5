"""What protects a guest's card, proved with packets: from another machine of the LAN, from the host, from the guest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from lab import Lab, LabGuest, LabHost
from lab.machine import LabMachine
from tests.lab.agent_cli import apply, attach, define, detach, domain, facts, must_apply, undefine
from tests.lab.pings import before_long, guest_pings, pings
from virtnet.actions import AttachInterface
from virtnet.card_filter import CardFilter
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.inbound import InboundPolicy, chain, read_ports
from virtnet.interface import DirectSource, InterfaceSpec
from virtnet.modes.bridge import Bridge

pytestmark = pytest.mark.lab

MAC = "52:54:00:aa:00:07"
OTHER_MAC = "52:54:00:aa:00:99"
LAN = Bridge(name="lan", bridge="br0", uplink="eth1", lasts=False)
OPEN, CLOSED = 22, 8080
IPV6 = {"guest": "fd00:77::7", "client": "fd00:77::9"}
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5).recv(1)"
SERVE = (
    "import socket, sys\nserver = socket.create_server((sys.argv[1], 9000))\nprint('ready', flush=True)\n"
    "while True:\n connection, _ = server.accept()\n connection.sendall(b'hello')\n connection.close()"
)
# A UDP datagram for the guest in a frame to everybody: it goes round a rule that knows the guest by its MAC alone.
TO_EVERYBODY = """
import socket, struct, sys
source, target, port = socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[2]), int(sys.argv[3])
udp = struct.pack("!HHHH", 4000, port, 8 + 5, 0) + b"hello"
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, source, target)
total = sum(struct.unpack("!10H", head))
total = (total >> 16) + (total & 0xFFFF)
head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0))
raw.send(b"\\xff" * 6 + raw.getsockname()[4] + b"\\x08\\x00" + head + udp)
"""


@pytest.fixture(scope="module")
def host(lab: Lab) -> LabHost:
    return lab.hosts[0]


@pytest.fixture(scope="module")
def guest(lab: Lab, host: LabHost) -> Iterator[LabGuest]:
    """On the LAN by a bridge, with an open and a closed port, and IPv6 as well."""
    guest = host.guests[0]
    must_apply(host, define(LAN))
    try:
        guest.start()
        guest.wait_ready()
        assert must_apply(host, attach(guest, LAN.name, MAC)) == ["done"]
        assert must_apply(host, attach(guest, LAN.name, MAC)) == ["already-so"]
        make_ready(guest)
        lab.client.run(["ip", "-6", "address", "add", f"{IPV6['client']}/64", "dev", "eth0", "nodad"])
        yield guest
    finally:
        lab.client.run(["ip", "-6", "address", "del", f"{IPV6['client']}/64", "dev", "eth0"], check=False)
        guest.destroy()
        must_apply(host, detach(guest, MAC))
        must_apply(host, undefine(LAN))


def make_ready(guest: LabGuest) -> None:
    guest.wait_address()
    for port in (OPEN, CLOSED):
        assert guest.run(f"httpd -p {port} -h /")[0] == 0
    without_waiting = "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad"
    assert guest.run(f"{without_waiting}; ip -6 address add {IPV6['guest']}/64 dev eth0") == (0, "")


@contextmanager
def policy(host: LabHost, guest: LabGuest, *lines: str, ping: bool = True) -> Iterator[None]:
    wanted = InboundPolicy(open=tuple(read_ports(line) for line in lines), ping=ping)
    must_apply(host, SetInboundPolicy(domain=domain(guest), mac=MAC, policy=wanted))
    try:
        yield
    finally:
        must_apply(host, SetInboundPolicy(domain=domain(guest), mac=MAC, policy=None))


@contextmanager
def card_filter(host: LabHost, guest: LabGuest, wanted: CardFilter) -> Iterator[None]:
    must_apply(host, SetInterfaceFilter(domain=domain(guest), mac=MAC, filter=wanted))
    try:
        yield
    finally:
        must_apply(host, SetInterfaceFilter(domain=domain(guest), mac=MAC, filter=None))


def connects(machine: LabMachine, address: object, port: int) -> bool:
    """Whether a TCP connection opens; httpd says nothing, so a time-out while reading is a connection too."""
    code = CONNECT.replace(".recv(1)", "")
    return machine.run([sys.executable, "-c", code, str(address), str(port)], check=False).returncode == 0


@contextmanager
def serving(machine: LabMachine, address: object) -> Iterator[None]:
    server = machine.popen([sys.executable, "-c", SERVE, str(address)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == b"ready\n"
        yield
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def ip_of(guest: LabGuest) -> IPv4Address:
    return guest.wait_address().ip


def test_only_what_is_listed_comes_in_and_everything_again_when_the_policy_goes(
    lab: Lab, host: LabHost, guest: LabGuest
) -> None:
    ip = ip_of(guest)
    assert connects(lab.client, ip, CLOSED)
    with policy(host, guest, f"{OPEN}/tcp", ping=False):
        for address in (ip, IPV6["guest"]):
            assert connects(lab.client, address, OPEN)
            assert not connects(lab.client, address, CLOSED)
            assert not pings(lab.client, address)
        # The host's own way to the guest is through the LAN here, and no better.
        assert not connects(host, ip, CLOSED)
        (found,) = [one for one in facts(host).domains if one.uuid == guest.uuid]
        assert [(one.mac, one.loaded) for one in found.inbound] == [(MAC, True)]
    for address in (ip, IPV6["guest"]):
        assert connects(lab.client, address, CLOSED)
        assert before_long(pings, lab.client, address)
    assert "bridge kvmpanel" not in host.run(["nft", "list", "tables"]).stdout


def test_a_port_is_open_to_the_sources_that_are_named(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    with policy(host, guest, f"{OPEN}/tcp from {lab.client.address}/32", f"{CLOSED}/tcp from 192.0.2.0/24"):
        assert connects(lab.client, ip_of(guest), OPEN)
        assert not connects(lab.router, ip_of(guest), OPEN)
        assert not connects(lab.client, ip_of(guest), CLOSED)
        assert before_long(pings, lab.client, ip_of(guest))


def test_what_the_guest_opens_is_answered(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    with policy(host, guest, ping=False), serving(lab.client, lab.client.address):
        assert guest.run(f"nc -w 10 {lab.client.address} 9000 </dev/null") == (0, "hello")
        assert guest.run(f"nslookup hosta {lab.lan.address}")[1].count("10.77.0.11") == 1  # UDP
        assert before_long(guest_pings, guest, lab.internet.address)
        assert guest.run(f"ping6 -c1 -W5 {IPV6['client']}")[0] == 0
        assert guest.run("ip neighbour flush dev eth0; kill -USR1 $(pidof udhcpc) 2>/dev/null; true")[0] == 0
        assert before_long(guest_pings, guest, lab.client.address)  # ARP, anew
        fragments = ["ping", "-c1", "-W5", "-s", "4000", str(lab.client.address)]
        assert guest.run(" ".join(fragments))[0] == 0


def test_a_frame_to_everybody_is_judged_too(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    ip = ip_of(guest)
    send = [sys.executable, "-c", TO_EVERYBODY, str(lab.client.address), str(ip), "5353"]
    before = unwanted_datagrams(guest)
    with policy(host, guest):
        assert before_long(guest_pings, guest, lab.client.address)  # its tap is known from now on
        lab.client.run(send)
        assert before_long(guest_pings, guest, lab.client.address)  # what was sent before this has arrived
        assert unwanted_datagrams(guest) == before
    lab.client.run(send)
    assert before_long(guest_pings, guest, lab.client.address)
    assert unwanted_datagrams(guest) == before + 1


def unwanted_datagrams(guest: LabGuest) -> int:
    """How many UDP datagrams came in to ports where nobody listens."""
    told = guest.run("grep ^Udp: /proc/net/snmp")[1].splitlines()
    names, values = (line.split() for line in told)
    return int(values[names.index("NoPorts")])


def test_the_policy_outlives_libvirtd_the_guest_and_the_host_s_boot(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    with policy(host, guest, f"{OPEN}/tcp"):
        host.restart_libvirtd()
        assert not connects(lab.client, ip_of(guest), CLOSED)
        guest.destroy()
        # As the host's next start does it: no rules at all, then the unit loads what lies on disk.
        host.run(["nft", "flush", "ruleset"])
        assert not facts(host).domain(guest.uuid).inbound[0].loaded  # type: ignore[union-attr]
        host.run(["nft", 'include "/var/lib/kvmagent/kvmpanel*.nft"'])
        guest.start()
        guest.wait_ready()
        make_ready(guest)
        assert connects(lab.client, ip_of(guest), OPEN)
        assert not connects(lab.client, ip_of(guest), CLOSED)
        assert facts(host).domain(guest.uuid).inbound[0].loaded  # type: ignore[union-attr]


def test_a_policy_whose_rules_were_flushed_is_loaded_again_by_setting_it_again(
    lab: Lab, host: LabHost, guest: LabGuest
) -> None:
    with policy(host, guest, f"{OPEN}/tcp"):
        host.run(["nft", "flush", "ruleset"])
        assert connects(lab.client, ip_of(guest), CLOSED)
        again = SetInboundPolicy(domain=domain(guest), mac=MAC, policy=InboundPolicy(open=(read_ports(f"{OPEN}/tcp"),)))
        assert must_apply(host, again) == ["already-so", "done"]
        assert not connects(lab.client, ip_of(guest), CLOSED)


def test_a_rule_that_cannot_be_loaded_leaves_guest_and_rules_as_they_were(host: LabHost, guest: LabGuest) -> None:
    before = facts(host)
    kept = "/var/lib/kvmagent/kvmpanel-guests.nft"
    host.run(["rm", "-f", kept])
    host.run(["mkdir", kept])  # a directory where the file must lie
    try:
        status, steps, _ = apply(host, SetInboundPolicy(domain=domain(guest), mac=MAC, policy=InboundPolicy()))
    finally:
        host.run(["rmdir", kept])
    assert status == 3
    assert [step.outcome for step in steps] == ["done", "failed", "undone"]
    assert facts(host).domain(guest.uuid) == before.domain(guest.uuid)
    assert chain(MAC) not in host.run(["nft", "list", "ruleset"]).stdout


def test_a_guest_with_clean_traffic_speaks_as_itself_only(lab: Lab, host: LabHost, guest: LabGuest) -> None:
    ip = ip_of(guest)
    stolen = IPv4Address(int(lab.client.address) + 100)
    assert guest.run(f"ip address add {stolen}/24 dev eth0")[0] == 0
    try:
        arp = f"arping -c1 -w1 -I eth0 -s {stolen} {lab.client.address}"
        as_another = f"ping -c1 -W1 -I {stolen} {lab.client.address}"
        assert guest.run(as_another)[0] == 0
        assert guest.run(arp)[0] == 0
        with card_filter(host, guest, CardFilter(name="clean-traffic", addresses=(ip,))):
            assert before_long(guest_pings, guest, lab.client.address)
            assert guest.run(as_another)[0] != 0
            assert guest.run(arp)[0] != 0
            assert as_another_mac(guest, lab.client.address) != 0
            assert before_long(guest_pings, guest, lab.client.address)
        assert as_another_mac(guest, lab.client.address) == 0
        assert guest.run(as_another)[0] == 0
    finally:
        guest.run(f"ip address del {stolen}/24 dev eth0")


def as_another_mac(guest: LabGuest, address: object) -> int:
    """The status of a ping that is sent with another MAC address."""
    change = "ip link set eth0 down; ip link set eth0 address {}; ip link set eth0 up; "
    command = f"{change.format(OTHER_MAC)} ping -c1 -W1 {address}; status=$?; {change.format(MAC)} exit $status"
    return guest.run(f"({command})")[0]


def test_a_filter_is_read_back_and_taken_off_again(host: LabHost, guest: LabGuest) -> None:
    def filters() -> set[str | None]:
        found = facts(host).domain(guest.uuid)
        assert found is not None
        assert [(card.type, card.source) for card in found.interfaces] == [("network", LAN.name)]
        return {card.filter for card in found.interfaces}

    wanted = SetInterfaceFilter(domain=domain(guest), mac=MAC, filter=CardFilter(name="no-mac-spoofing"))
    assert must_apply(host, wanted) == ["done"]
    assert filters() == {"no-mac-spoofing"}
    assert must_apply(host, wanted) == ["already-so"]
    host.restart_libvirtd()
    assert filters() == {"no-mac-spoofing"}
    assert must_apply(host, wanted.model_copy(update={"filter": None})) == ["done"]
    assert filters() == {None}


def test_a_filter_whose_variable_is_missing_is_refused_before_anything_is_touched(
    host: LabHost, guest: LabGuest
) -> None:
    wanted = SetInterfaceFilter(domain=domain(guest), mac=MAC, filter=CardFilter(name="clean-traffic-gateway"))
    status, steps, said = apply(host, wanted)
    assert (status, steps) == (1, [])
    assert "needs GATEWAY_MAC" in said


def test_a_macvtap_card_is_refused_with_the_reason(lab: Lab) -> None:
    host = lab.hosts[1]
    guest = host.guests[0]
    card = InterfaceSpec(source=DirectSource(link="eth0"), mac=MAC)
    must_apply(host, AttachInterface(domain=domain(guest), interface=card))
    try:
        for action in (
            SetInterfaceFilter(domain=domain(guest), mac=MAC, filter=CardFilter(name="no-mac-spoofing")),
            SetInboundPolicy(domain=domain(guest), mac=MAC, policy=InboundPolicy()),
        ):
            status, steps, said = apply(host, action)
            assert (status, steps) == (1, [])
            assert "on no bridge of the host" in said
    finally:
        must_apply(host, detach(guest, MAC))
