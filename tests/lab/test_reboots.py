"""What survives a restart, for each of the four owners of a host's network, static and leased.

Each is a Debian with systemd of its own that is really restarted, as a container; `make soak` does the same with a
kernel of its own in an emulated machine. What a power cut leaves on a disk is in test_power_cuts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest

from lab import Lab, disk_image
from lab.disk_machine import DiskMachine
from lab.network_owners import Owner
from lab.system_container import SystemContainer
from tests.lab.person import seconds_until
from tests.lab.pings import Pings
from tests.lab.restarted import DEFINE, OWNERS, PORTS, REF, SPEC, STATIC, SUBNET, Restarted, on_the_bridge, started
from virtnet.actions import AnyAction, DefineNetwork, UndefineNetwork, UpdateNetwork
from virtnet.modes.bridge import Bridge

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
# The second cable leads into the same LAN.
TWO = SPEC.model_copy(update={"second_uplink": "eth1", "stp": True, "forward_delay": 2})
STP = "ip -d link show br0 | grep -q 'forward_delay 200 .*stp_state 1'"
UNDEFINE = UndefineNetwork(network=REF, spec=SPEC)
# What each link is up with, as its owner says. A port that was one before is being configured for good, says networkd.
NETWORKD = "networkctl --no-legend --no-pager list | awk '{ print $2, $5 }' | sed s/configuring/configured/ | sort; "
NETWORKD += "grep -h ^NETWORK_FILE= /run/systemd/netif/links/* | sort"
SAYS = {
    "networkmanager": "nmcli -t -f DEVICE,STATE,CONNECTION device | sort; nmcli -t -f NAME,FILENAME connection | sort",
    "networkd": NETWORKD,
    "netplan": NETWORKD,
    "ifupdown": "sort /run/network/ifstate",
}
# While the owner takes the bridge over, or its uplink back. NetworkManager takes an address away and puts it on again
# within some milliseconds; the others touch nothing.
MOST_LOST = {"networkd": 0, "ifupdown": 0, "netplan": 0, "networkmanager": 10}


@pytest.fixture(scope="module")
def lan() -> Iterator[Lab]:
    with Lab(prefix=f"b{os.getpid()}", hosts=1, guests_per_host=0, subnet=SUBNET) as lab:
        yield lab


def container(lab: Lab, owner: Owner, address: str | None) -> SystemContainer:
    return SystemContainer(lab, "debian", owner, IPv4Interface(address) if address else None)


@pytest.mark.parametrize("owner", OWNERS)
def test_a_bridge_over_the_management_link_survives_a_restart_and_goes_without_a_trace(lan: Lab, owner: Owner) -> None:
    with started(lan, container(lan, owner, STATIC)) as host:
        survives_and_goes(host, owner, SPEC.model_copy(update={"mtu": 1400}))


@pytest.mark.parametrize("owner", [owner for owner in OWNERS if SOAK or owner != "netplan"])
def test_a_leased_address_is_kept_throughout_and_its_client_goes_over(lan: Lab, owner: Owner) -> None:
    with started(lan, container(lan, owner, None)) as host:
        survives_and_goes(host, owner)


@pytest.mark.parametrize("owner", OWNERS if SOAK else ("networkmanager",))
def test_a_removal_that_is_taken_back_leaves_the_bridge_and_its_owner_as_before(lan: Lab, owner: Owner) -> None:
    with started(lan, container(lan, owner, STATIC)) as host:
        kept(host, DEFINE)
        made, says = (host.network(), host.files()), host.machine.run(SAYS[owner])
        address = str(IPv4Interface(STATIC).ip)

        host.begin(UNDEFINE)
        host.await_change()
        assert list(host.network().addresses) == ["eth0"]
        assert owner == "ifupdown" or host.machine.run(SAYS[owner]) != says
        host.machine.run("kvmagent undo")
        host.await_end("undone.")
        assert (host.network(), host.files()) == made
        # It tells its states a moment later.
        seconds_until(lambda: host.machine.run(SAYS[owner]) == says, 20, lambda: host.machine.run(SAYS[owner]))
        assert host.answers(address)

        # The guard alone, for the agent is dead: the bridge's owner lets it be.
        host.begin(UNDEFINE)
        host.await_change()
        host.machine.run("systemctl kill --signal=KILL agent.service; kvmagent undo")
        host.await_answer(address)
        seconds_until(lambda: (host.network(), host.files()) == made, 20, lambda: str(host.network()))


@pytest.mark.parametrize("owner", OWNERS)
def test_the_power_is_cut_before_anybody_has_confirmed(lan: Lab, owner: Owner) -> None:
    with started(lan, container(lan, owner, STATIC)) as host:
        former, files = host.network(), host.files()
        host.begin(DEFINE)
        host.await_change()
        assert host.network() == on_the_bridge(former)
        assert host.files() == files
        host.machine.cut_power()
        host.machine.boot()
        host.await_address("eth0")
        assert (host.network(), host.files()) == (former, files)


if SOAK:

    @pytest.mark.parametrize("owner", OWNERS)
    def test_a_bridge_of_two_uplinks_survives_a_restart_with_its_stp(lan: Lab, owner: Owner) -> None:
        machine = container(lan, owner, STATIC)
        machine.second = True
        with started(lan, machine) as host:
            survives_and_goes(host, owner, TWO)


if SOAK:

    @pytest.mark.parametrize("owner", OWNERS)
    def test_a_bridge_that_is_changed_survives_a_restart_as_it_was_changed(lan: Lab, owner: Owner) -> None:
        machine = container(lan, owner, STATIC)
        machine.second = True
        with started(lan, machine) as host:
            former, files = host.network(), host.files()
            kept(host, DEFINE)
            made, written = host.network(), host.files()
            kept(host, UpdateNetwork(network=REF, spec=TWO))
            assert host.machine.run(PORTS).split() == ["eth0", "eth1"]
            host.machine.cut_power()
            host.machine.boot()
            host.await_address("br0")
            assert host.machine.run(PORTS).split() == ["eth0", "eth1"]
            host.machine.await_true(STP)
            host.await_network(made)
            host.machine.await_true("ip -d link show eth1 | grep -q 'priority 40 '")

            two = host.files()
            host.begin(UpdateNetwork(network=REF, spec=SPEC))
            host.await_change()
            # Its owner does not have the second cable join again, which without STP would be a loop.
            assert host.machine.run(PORTS).split() == ["eth0"]
            host.machine.run("kvmagent undo")
            host.await_end("undone.")
            host.await_network(made)  # STP may prefer the second, which listens first
            assert host.files() == two
            assert host.machine.run(PORTS).split() == ["eth0", "eth1"]

            kept(host, UpdateNetwork(network=REF, spec=SPEC))
            assert (host.network(), host.files()) == (made, written)
            assert host.machine.run(PORTS).split() == ["eth0"]
            host.machine.reboot()
            host.await_address("br0")
            assert host.machine.run(PORTS).split() == ["eth0"]
            host.machine.await_true(f"! ({STP})")

            kept(host, UNDEFINE)
            host.await_address("eth0")
            assert (host.network(), host.files()) == (former, files)
            # Made once more before any restart, it is written the same; but NetworkManager may mean another metric for
            # the uplink, since it found eth1 first.
            kept(host, DEFINE)
            assert host.network() == made
            assert owner == "networkmanager" or host.files() == written


if SOAK:

    @pytest.mark.parametrize("owner", OWNERS)
    def test_what_its_owner_has_been_told_already_is_taken_back_when_a_later_step_fails(lan: Lab, owner: Owner) -> None:
        machine = container(lan, owner, STATIC)
        machine.second = True
        with started(lan, machine) as host:
            former, files, says = host.network(), host.files(), host.machine.run(SAYS[owner])
            with Pings(host.lab.panel, str(IPv4Interface(STATIC).ip)) as pings:
                host.begin(DefineNetwork(network=REF, spec=TWO))
                host.await_change()
                host.machine.run("mount -t tmpfs -o ro none /etc/libvirt/qemu/networks")  # libvirt writes last
                host.keep()
                host.await_end("undone.")
            assert pings.lost <= 2 * MOST_LOST[owner], pings  # it takes the bridge over, and gives it back
            assert (host.network(), host.files(), host.kept()) == (former, files, [])
            seconds_until(lambda: host.machine.run(SAYS[owner]) == says, 20, lambda: host.machine.run(SAYS[owner]))


if SOAK:

    def test_a_card_that_udev_names_by_its_mac_alone_is_refused_until_that_spares_the_bridge(lan: Lab) -> None:
        machine = container(lan, "networkd", STATIC)
        link, asks = "/etc/systemd/network/10-eth0.link", "udevadm test-builtin net_setup_link /sys/class/net/like-it"
        with started(lan, machine) as host:
            machine.run(f"printf '[Link]\\nName=eth0\\n[Match]\\nMACAddress={machine.mac}\\n' > {link}")
            machine.run(f"ip link add like-it address {machine.mac} type bridge")
            assert "ID_NET_NAME=eth0" in machine.run(asks)
            host.begin(DEFINE)
            assert "Type=ether" in host.await_end("refused.")

            machine.run(f"echo Type=ether >> {link}")
            assert "ID_NET_NAME=like-it" in machine.run(asks)
            machine.run("ip link delete like-it")
            kept(host, DEFINE)


if SOAK:

    @pytest.mark.parametrize("owner", OWNERS)
    def test_another_mtu_survives_a_restart_and_goes_with_the_bridge(lan: Lab, owner: Owner) -> None:
        with started(lan, container(lan, owner, STATIC)) as host:
            former, files = host.network(), host.files()
            kept(host, DEFINE)
            made, written = host.network(), host.files()
            wanted = UpdateNetwork(network=REF, spec=SPEC.model_copy(update={"mtu": 1400}))
            host.begin(wanted)
            host.await_change()
            host.machine.await_true(has_mtu(1400, "br0", "eth0"))
            host.machine.run("kvmagent undo")
            host.await_end("undone.")
            host.machine.await_true(has_mtu(1500, "br0", "eth0"))
            assert (host.network(), host.files()) == (made, written)
            kept(host, wanted)
            host.machine.await_true(has_mtu(1400, "br0", "eth0"))
            assert host.network() == made
            host.machine.cut_power()
            host.machine.boot()
            host.await_network(made)
            host.machine.await_true(has_mtu(1400, "br0", "eth0"))
            kept(host, UNDEFINE)
            host.await_address("eth0")
            host.machine.await_true(has_mtu(1500, "eth0"))
            assert (host.network(), host.files()) == (former, files)


if SOAK:

    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize("owner", OWNERS)
    def test_the_same_on_a_machine_with_a_kernel_of_its_own(lan: Lab, owner: Owner) -> None:
        image = disk_image.ensure(print)
        with started(lan, DiskMachine(lan, image, "emulated", owner, IPv4Interface(STATIC))) as host:
            survives_and_goes(host, owner)


if SOAK:

    @pytest.mark.timeout(3600)
    def test_a_card_that_has_another_name_after_the_restart_is_the_bridge_s_port_and_free_afterwards(lan: Lab) -> None:
        image = disk_image.ensure(print)
        with started(lan, DiskMachine(lan, image, "emulated", "networkd", IPv4Interface(STATIC))) as host:
            kept(host, DEFINE)
            made = host.network()
            mac = host.machine.run("cat /sys/class/net/eth0/address").strip()
            link = f"[Match]\\nPermanentMACAddress={mac}\\n[Link]\\nName=lan9\\n"
            host.machine.run(f"printf '{link}' > /etc/systemd/network/10-lan9.link; sync")
            host.machine.reboot()
            host.await_network(made)
            assert host.machine.run(PORTS).split() == ["lan9"]
            kept(host, UNDEFINE)
            assert host.network().addresses == {"lan9": [STATIC]}
            assert host.answers(str(IPv4Interface(STATIC).ip))
            assert host.kept() == []


def kept(host: Restarted, action: AnyAction) -> None:
    host.begin(action)
    host.await_change()
    host.keep()
    host.await_end()


def has_mtu(mtu: int, *links: str) -> str:
    return " && ".join(f"[ $(cat /sys/class/net/{link}/mtu) = {mtu} ]" for link in links)


def survives_and_goes(host: Restarted, owner: Owner, spec: Bridge = SPEC) -> None:
    former, files, says = host.network(), host.files(), host.machine.run(SAYS[owner])
    ((address,),) = former.addresses.values()
    with Pings(host.lab.panel, str(IPv4Interface(address).ip)) as pings:
        host.begin(DefineNetwork(network=REF, spec=spec))
        host.await_change()
        host.keep()
        host.await_end()
    assert pings.lost <= MOST_LOST[owner], pings
    made = host.network()
    assert made == on_the_bridge(former)

    # The power is cut as soon as the agent has said that it is done.
    host.machine.cut_power()
    host.machine.boot()
    host.await_network(made)  # with STP the bridge's routes are without a carrier for a moment
    assert host.machine.run(PORTS).split() == [one for one in (spec.uplink, spec.second_uplink) if one is not None]
    if spec.stp:
        host.machine.await_true(STP)
    if spec.mtu is not None:
        host.machine.await_true(has_mtu(spec.mtu, "br0", "eth0"))
    host.await_answer(str(IPv4Interface(address).ip))
    host.machine.await_true("virsh net-list --name | grep -qx lan")

    # Taken away: the files are as before, to the byte, and so is the network, now and after a restart.
    with Pings(host.lab.panel, str(IPv4Interface(address).ip)) as pings:
        host.begin(UndefineNetwork(network=REF, spec=spec))
        host.await_change()
        host.keep()
        host.await_end()
        assert host.answers(str(IPv4Interface(address).ip))
    assert pings.lost <= MOST_LOST[owner], pings
    host.await_address("eth0")
    host.machine.await_true(has_mtu(1500, "eth0"))
    assert (host.network(), host.files()) == (former, files)
    assert host.answers(str(IPv4Interface(address).ip))
    # Its owner goes on with the uplink as before, not only until the lease ends or the next bridge is made.
    seconds_until(lambda: host.machine.run(SAYS[owner]) == says, 20, lambda: host.machine.run(SAYS[owner]))
    host.machine.reboot()
    host.await_address("eth0")
    assert (host.network(), host.files()) == (former, files)
