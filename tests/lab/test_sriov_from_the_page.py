"""SR-IOV from the page to a guest and back, with the kernel's own drivers of a real card (an Intel 82576, emulated).

One story: the panel reaches the machine over the LAN, and the card's PF carries that LAN. The guest has the driver of
the card's VFs. Each time is printed; what the emulated processors take long for happens beside something else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kvmagent import vf_keepers
from lab import Lab
from lab.browser import FormRefused
from lab.host import FREE_UPLINK, LAN_BRIDGE
from lab.machine_guest import MachineGuest
from lab.machine_networkmanager import MachineNetworkManager
from lab.panel import LabPanel
from lab.sriov_machine import SriovMachine
from tests.lab.person import Person, seconds_until
from tests.lab.pings import pings
from tests.lab.product import last_lines
from virtnet.facts import HostFacts
from virtnet.vf_ledger import ledger

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

SOAK = bool(os.environ.get("KVMPANEL_SOAK"))
PF, VFS = "eth0", 4
# A network hands out VF 0; VF 1 is a macvtap's; VF 2 is half of a pair; VF 3 has its MAC address and VLAN.
ADDRESSES = tuple(f"0000:01:10.{2 * index}" for index in range(VFS))  # as an 82576 lays them out
POOL, PASSTHROUGH, LAN = "fast", "own", "lan"
SECOND_POOL = "fast2"
POOL_MAC, PASSTHROUGH_MAC, PAIR_MAC, SECOND_MAC = (f"52:54:00:00:00:{number}" for number in (40, 41, 42, 44))
MAC, VLAN = "52:54:00:00:00:43", 42
# As on most hosts the VFs' links get other names than the kernel's, here some seconds after they have come.
NAMES = tuple(f"vf{index}" for index in range(VFS))
RENAMED = "".join(
    f'ACTION=="add", SUBSYSTEM=="net", KERNELS=="{address}", PROGRAM="/bin/sleep 5", NAME="{name}"\n'
    for address, name in zip(ADDRESSES, NAMES, strict=True)
)
BRIDGE = "br1"
# A guest answers by default on each card for the addresses of all.
ANSWER_BY_CARD = "cd /proc/sys/net/ipv4/conf/all && echo 1 >arp_ignore && echo 2 >arp_announce"
PING_OVER = "for lease in $(grep -l ^{address}/ /run/lease.*); do ping -c1 -W2 -I ${{lease##*.}} {whom}; done"
SLOW = 300.0  # an emulated machine that has to share its processors; ten times what is measured on quiet ones


@dataclass
class Story:
    """The panel with the machine enrolled, and a person at it."""

    lab: Lab
    panel: LabPanel
    machine: SriovMachine
    tell: Callable[[str], None]  # prints it with the time

    def __post_init__(self) -> None:
        self.person = Person(self.panel)
        self.page = f"/hosts/{self.machine.name}/"
        self.ledger = f"{self.page}sriov/"
        self.guest = MachineGuest(self.machine, "web1")
        self.networkmanager = MachineNetworkManager(self.machine)  # in the soak

    def apply(self, change: UUID) -> None:
        """Wait until a change has been made."""
        self.person.await_end(change, within=SLOW)
        said = self.panel.rows("SELECT state, error, problems FROM networks_change WHERE id = %s", change)
        assert said[0][0] == "applied", said

    def await_page(self, path: str, sentence: str) -> None:
        seconds_until(
            lambda: self.person.sees(path, sentence), SLOW, lambda: f"{path} does not say: {sentence}", every=0.5
        )

    def await_running(self, network: str) -> None:
        """Until the panel knows of it; its facts may be of the moment before it was started."""
        page = f"/networks/{self.person.network_id(self.machine, network)}/"
        self.await_page(page, f"{page}stop/")

    def owners(self) -> list[str | None]:
        """The guest that has each VF now, by what the panel has been told."""
        ((told,),) = self.panel.rows("SELECT facts FROM hosts_host")
        (pf,) = ledger(HostFacts.model_validate(told if isinstance(told, dict) else json.loads(told)))
        return [row.holder.guest.name if row.holder is not None else None for row in pf.rows]

    def units_say(self) -> str:
        """What those that have to do with VFs and guests have said since the machine's start."""
        units = ("kvmpanel-vfs", "libvirtd", "kvmagent")
        return self.machine.run(["journalctl", "-b", "--no-pager", *(f"-u{unit}" for unit in units)]).stdout

    def kernels_vfs(self) -> list[dict[str, Any]]:
        """What `ip link` says of the PF's VFs."""
        (pf,) = json.loads(self.machine.run(["ip", "-j", "link", "show", PF]).stdout)
        found: list[dict[str, Any]] = pf.get("vfinfo_list", [])
        return [{**vf, "mac": vf.get("address", vf.get("mac"))} for vf in found]

    def names(self) -> tuple[str, ...]:
        """The links of the VFs that the machine's own driver has, in their order."""
        shown = self.machine.run(["sh", "-c", f"ls -d /sys/bus/pci/devices/{ADDRESSES[0][:-1]}*/net/*"]).stdout
        return tuple(Path(line).name for line in shown.splitlines())

    def lease(self, mac: str) -> IPv4Address | None:
        """What the LAN's server gave to this MAC address."""
        leases = self.lab.lan.state_dir / "leases"
        given = [line.split() for line in leases.read_text().splitlines()] if leases.exists() else []
        return next((IPv4Address(words[2]) for words in given if words[1] == mac), None)

    def await_lease(self, mac: str) -> IPv4Address:
        seconds_until(lambda: self.lease(mac) is not None, SLOW, lambda: f"{mac} has no lease")
        address = self.lease(mac)
        assert address is not None
        return address

    def await_packets(self, mac: str) -> IPv4Address:
        """Until the card of this MAC address has a lease, and pings pass over it both ways; its address."""
        address = self.await_lease(mac)
        self.await_ping(address, self.lab.client.address)
        seconds_until(lambda: pings(self.lab.client, address), SLOW, lambda: f"{mac} does not answer at {address}")
        return address

    def await_ping(self, address: IPv4Address, whom: IPv4Address) -> None:
        """Until somebody answers a ping of the guest's card with this address."""
        seconds_until(lambda: self.guest_pings(address, whom), SLOW, lambda: f"{address} does not reach {whom}")

    def guest_pings(self, address: IPv4Address, whom: IPv4Address) -> bool:
        """Whether somebody answers one ping of the guest's card with this address."""
        return " bytes from " in self.guest.run(PING_OVER.format(address=address, whom=whom)).stdout

    def ports_of(self, mac: str) -> list[str]:
        """By which cable of the machine the LAN's switch last heard it."""
        table = json.loads(self.lab.lan.run(["bridge", "-j", "fdb", "show", "br", LAN_BRIDGE]).stdout)
        return [entry["ifname"] for entry in table if entry["mac"] == mac]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    begun = time.monotonic()

    def tell(part: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {part}", flush=True)

    with Lab(prefix=f"v{os.getpid()}", hosts=0) as lab:
        panel, machine = LabPanel(lab, postgres=True), SriovMachine(lab, progress=tell)
        try:
            with ThreadPoolExecutor() as both:
                for waited in [both.submit(panel.up), both.submit(machine.up)]:
                    waited.result()
            story = Story(lab, panel, machine, tell)
            story.tell("the machine and the panel are up")
            panel.introduce(machine, timeout=SLOW)
            story.tell("enrolled and approved")
            machine.run(["systemctl", "enable", "--now", "kvmpanel-vfs", "kvmagent"], timeout=SLOW)
            panel.wait_for_facts(machine, timeout=SLOW)
            story.tell("the agent runs and has told its facts")
            yield story
        except BaseException:
            print(*(last_lines(log) for log in sorted(panel.directory.glob("*.log"))), sep="\n")
            print(machine.last_words(), machine.run(["journalctl", "--no-pager", "-u", "kvmagent"], check=False).stdout)
            raise
        finally:
            panel.down()
            machine.down()


def test_vfs_made_from_the_page_are_a_guests_also_after_a_restart_and_as_new_when_it_is_off(story: Story) -> None:
    if SOAK:
        story.networkmanager.start()
        story.tell("NetworkManager runs too")
    make_the_vfs(story)
    give_them_to_the_guest(story)
    story.machine.reboot()
    story.tell("the machine was restarted")
    all_is_back(story)
    another_number_is_refused(story)
    packets_pass(story)
    if SOAK:
        networkmanager_would_take_them(story)
        a_pair_goes_on_without_its_vf(story)
        two_guests_meet_in_the_card(story)
    let_go_it_is_as_new(story)


def make_the_vfs(story: Story) -> None:
    person, machine = story.person, story.machine
    # As `kvmagent doctor` says: libvirt loads nothing by itself.
    machine.run(["sh", "-c", "modprobe vfio-pci; echo vfio-pci >/etc/modules-load.d/vfio.conf"])
    machine.run(["tee", "/etc/udev/rules.d/70-lab-vfs.rules"], input=RENAMED)
    # The PF carries the way to the panel: guarded, and confirmed by the panel itself over a new connection.
    story.apply(person.set_numvfs(machine, PF, VFS))
    assert len(story.kernels_vfs()) == VFS
    assert story.names() == NAMES
    assert_nobody_else_has(story, NAMES)
    story.tell("VFs, made from the page")
    story.await_page(story.ledger, f"{VFS} of 7 VFs")
    story.apply(person.set_vf(machine, PF, 3, mac=MAC, vlan=str(VLAN)))
    assert_attributes(story)
    story.await_page(story.ledger, MAC)
    story.tell("VF 3 has its MAC address and VLAN")


def give_them_to_the_guest(story: Story) -> None:
    person, machine, guest = story.person, story.machine, story.guest
    guest.define()
    made = [
        person.make_pool(machine, POOL, PF, VFS, ADDRESSES[0]),
        person.make_passthrough(machine, PASSTHROUGH, NAMES[1]),
    ]
    for change in made:
        story.apply(change)
    for network in (POOL, PASSTHROUGH):
        story.await_running(network)
    story.tell("a network hands out VF 0, another gives a guest VF 1 by macvtap")
    cards = ((POOL, POOL_MAC), (PASSTHROUGH, PASSTHROUGH_MAC))
    for change in [person.plug_in(machine, guest.uuid, network, mac) for network, mac in cards]:
        story.apply(change)
    guest.start()
    assert_it_owns_the_vfs(story)
    story.tell("the guest is started, with both VFs")


def all_is_back(story: Story) -> None:
    machine = story.machine
    assert len(story.kernels_vfs()) == VFS
    assert_attributes(story)
    assert 0 < ended(machine, "kvmpanel-vfs.service") < started(machine, "libvirtd.service")
    # The guest starts with the machine, once libvirtd has started its networks.
    seconds_until(lambda: "running" in story.guest.virsh("domstate", story.guest.name), SLOW, story.units_say, every=1)
    assert_it_owns_the_vfs(story)
    assert story.names() == NAMES[1:]
    assert_nobody_else_has(story, NAMES[1:])
    # On the link that the guest owns the host is as silent as before the restart; up it is by libvirt.
    link = NAMES[1]
    switches = f"/proc/sys/net/ipv4/conf/{link}/arp_ignore /proc/sys/net/ipv6/conf/{link}/disable_ipv6"
    assert machine.run(["sh", "-c", f"cat {switches}"]).stdout.split() == ["8", "1"]
    assert int(machine.run(["cat", f"/sys/class/net/{link}/flags"]).stdout, 16) & 1
    story.await_page(story.page, f"Last boot: {VFS} of {VFS} VFs restored.")
    owners = [story.guest.name, story.guest.name, None, None]
    seconds_until(lambda: story.owners() == owners, SLOW, lambda: str(story.owners()), every=0.5)
    story.await_page(story.ledger, story.guest.name)
    story.tell("VFs, attributes, networks and the guest are back")


def another_number_is_refused(story: Story) -> None:
    with pytest.raises(FormRefused, match=rf"Guests own VFs of {PF}.*{story.guest.name} \(VF 0\)"):
        story.person.set_numvfs(story.machine, PF, VFS + 1)
    assert len(story.kernels_vfs()) == VFS
    story.tell("another number of VFs is refused")


def packets_pass(story: Story) -> None:
    seconds_until(lambda: story.lease(POOL_MAC) is not None, SLOW, lambda: "the guest is not up")
    seconds_until(lambda: story.guest.run(ANSWER_BY_CARD).returncode == 0, SLOW, lambda: "its shell does not answer")
    addresses: list[IPv4Address] = []
    for mac, what in ((POOL_MAC, "its own VF"), (PASSTHROUGH_MAC, "macvtap over a VF")):
        address = story.await_packets(mac)
        addresses.append(address)
        assert story.ports_of(mac) == [story.machine.ports[0]]
        story.tell(f"packets over {what}: {address}")
    for whom in (story.lab.internet, story.machine):
        story.await_ping(addresses[0], whom.address)
    story.tell("over the VF the guest reaches the Internet too, and through the card's switch its host")
    assert "drivers/igbvf" in story.machine.run(["cat", str(story.guest.console_log)]).stdout


def networkmanager_would_take_them(story: Story) -> None:
    """Were it not told to keep off: so it is the rule that keeps it off. It asks when a link comes."""
    rule, driver = f"/run/{vf_keepers.RULES}", "/sys/bus/pci/drivers/igbvf"
    again = f"udevadm control --reload && echo {ADDRESSES[2]} >{driver}/unbind && echo {ADDRESSES[2]} >{driver}/bind"
    for move, is_kept_off in ((f"mv {rule} {rule}.away", False), (f"mv {rule}.away {rule}", True)):
        story.machine.run(["sh", "-c", f"{move} && {again}"])

        def is_so(is_kept_off: bool = is_kept_off) -> bool:
            state = story.networkmanager.states().get(NAMES[2])
            return state is not None and (state == "unmanaged") is is_kept_off

        seconds_until(is_so, SLOW, lambda: str(story.networkmanager.states()), every=1)
    story.tell("NetworkManager keeps off the VFs because it is told to")


def a_pair_goes_on_without_its_vf(story: Story) -> None:
    person, machine, guest, lan = story.person, story.machine, story.guest.uuid, story.lab.client
    story.apply(person.make_bridge(machine, LAN, BRIDGE, FREE_UPLINK))
    story.await_running(LAN)
    story.tell("for the half that stays, a network on a bridge over the other cable")
    story.apply(person.pair(machine, guest, ADDRESSES[2], LAN, PAIR_MAC))
    address = story.await_packets(PAIR_MAC)
    await_port(story, address, 0)
    story.tell(f"packets over the VF of a pair: {address}")
    story.await_page(f"{story.page}guests/{guest}/", "VF of a pair")
    story.apply(person.unplug_the_vf(machine, guest, PAIR_MAC))
    await_port(story, address, 1)
    seconds_until(lambda: pings(lan, address), SLOW)
    story.tell("without the VF they go on over the virtio card")
    story.apply(person.pair(machine, guest, ADDRESSES[2], LAN, PAIR_MAC))
    await_port(story, address, 0)
    seconds_until(lambda: pings(lan, address), SLOW)
    story.tell("and over the VF again, once it is plugged in")


def two_guests_meet_in_the_card(story: Story) -> None:
    """By the VF that the pair had. The LAN's switch sends nothing back to where it came from: who answers is reached
    in the card."""
    person, machine, other = story.person, story.machine, MachineGuest(story.machine, "web2")
    story.apply(person.unplug_the_vf(machine, story.guest.uuid, PAIR_MAC))
    other.define()
    pair = f"{story.page}guests/{story.guest.uuid}/"
    seconds_until(lambda: not person.sees(pair, "VF of a pair"), SLOW, lambda: "the VF is plugged in still", every=0.5)
    story.apply(person.make_pool(machine, SECOND_POOL, PF, VFS, ADDRESSES[2]))
    story.await_running(SECOND_POOL)
    story.await_page(story.page, other.name)
    story.apply(person.plug_in(machine, other.uuid, SECOND_POOL, SECOND_MAC))
    other.start()
    address, others = story.await_lease(POOL_MAC), story.await_lease(SECOND_MAC)
    story.await_ping(address, others)
    assert story.ports_of(POOL_MAC) == story.ports_of(SECOND_MAC) == [machine.ports[0]]
    story.tell(f"two guests with a VF each of one card reach each other: {address} and {others}")
    other.destroy()


def let_go_it_is_as_new(story: Story) -> None:
    # What the next guest must not inherit.
    for vf in ("0", "1"):
        story.machine.run(["ip", "link", "set", PF, "vf", vf, "spoofchk", "off", "trust", "on"])
    for left in story.kernels_vfs()[:2]:
        assert (left["spoofchk"], left["trust"]) in {(False, True), ("off", "on")}
    story.guest.destroy()
    seconds_until(
        lambda: all(map(is_as_new, story.kernels_vfs()[:2])), SLOW, lambda: str(story.kernels_vfs()), every=0.5
    )
    assert_attributes(story)
    story.tell("the guest is off, and its VFs as new")


def assert_attributes(story: Story) -> None:
    vf = story.kernels_vfs()[3]
    assert (vf["mac"], vf["vlan_list"][0]["vlan"]) == (MAC, VLAN)


def assert_nobody_else_has(story: Story, links: Sequence[str]) -> None:
    """These links are no business of networkd, nor of NetworkManager."""
    seconds_until(lambda: "pending" not in networkds_links(story.machine).values(), SLOW, every=0.5)
    states = [networkds_links(story.machine), *([story.networkmanager.states()] if SOAK else [])]
    for found in states:
        assert {found[link] for link in links} == {"unmanaged"}, found


def assert_it_owns_the_vfs(story: Story) -> None:
    """VF 0 by VFIO; VF 1 by its link, which has the guest's MAC address."""
    assert [vf["mac"] for vf in story.kernels_vfs()[:2]] == [POOL_MAC, PASSTHROUGH_MAC]
    driver = story.machine.run(["readlink", f"/sys/bus/pci/devices/{ADDRESSES[0]}/driver"]).stdout
    assert driver.strip().endswith("/vfio-pci")


def await_port(story: Story, address: IPv4Address, cable: int) -> None:
    """Until the pair's pings go by this cable. The guest sends, for the LAN's switch learns only by what it hears."""

    def passes() -> bool:
        return story.guest_pings(address, story.lab.client.address) and story.ports_of(PAIR_MAC) == [
            story.machine.ports[cable]
        ]

    seconds_until(passes, SLOW, lambda: f"the pair is heard by {story.ports_of(PAIR_MAC)}")


def is_as_new(vf: dict[str, Any]) -> bool:
    """Whether it has nothing of its last guest."""
    on = (True, "on")
    return vf["mac"] not in {POOL_MAC, PASSTHROUGH_MAC} and vf["spoofchk"] in on and vf["trust"] not in on


def networkds_links(machine: SriovMachine) -> dict[str, str]:
    """Each link with what networkd makes of it: unmanaged, configured …, or pending before it has looked."""
    lines = machine.run(["networkctl", "--no-legend", "--no-pager", "list"]).stdout.splitlines()
    return {line.split()[1]: line.split()[4] for line in lines if line.strip()}


def ended(machine: SriovMachine, unit: str) -> int:
    """Microseconds since the boot at which its program ended; 0 when it has not run."""
    return property_of(machine, unit, "ExecMainExitTimestampMonotonic")


def started(machine: SriovMachine, unit: str) -> int:
    return property_of(machine, unit, "ExecMainStartTimestampMonotonic")


def property_of(machine: SriovMachine, unit: str, name: str) -> int:
    return int(machine.run(["systemctl", "show", "--value", f"--property={name}", unit]).stdout)
