"""SR-IOV from the page to a guest and back, with the kernel's own drivers of a real card (an Intel 82576, emulated).

One story: the panel reaches the machine over the LAN, and the card's PF carries that LAN. Each time is printed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from lab import Lab
from lab.browser import FormRefused
from lab.machine_guest import MachineGuest
from lab.panel import LabPanel
from lab.sriov_machine import SriovMachine
from tests.lab.person import Person, seconds_until
from tests.lab.product import last_lines

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

PF, POOL = "eth0", "fast"
GUEST_MAC = "52:54:00:00:00:41"
MAC, VLAN = "52:54:00:00:00:42", 42
SLOW = 300.0  # an emulated machine that has to share its processors; ten times what is measured on quiet ones


@dataclass
class Story:
    """The panel with the machine enrolled, and a person at it."""

    lab: Lab
    panel: LabPanel
    machine: SriovMachine
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.person = Person(self.panel)
        self.page = f"/hosts/{self.machine.name}/"

    def tell(self, what: str) -> None:
        print(f"{time.monotonic() - self.begun:5.0f} s  {what}", flush=True)

    def apply(self, change: UUID) -> None:
        """Wait until a change has been made."""
        self.person.await_end(change, within=SLOW)
        said = self.panel.rows("SELECT state, error, problems FROM networks_change WHERE id = %s", change)
        assert said[0][0] == "applied", said

    def await_page(self, path: str, sentence: str) -> None:
        seconds_until(lambda: self.person.sees(path, sentence), SLOW, lambda: f"{path} does not say: {sentence}")

    def kernels_vfs(self) -> list[dict[str, Any]]:
        """What `ip link` says of the PF's VFs."""
        (pf,) = json.loads(self.machine.run(["ip", "-j", "link", "show", PF]).stdout)
        found: list[dict[str, Any]] = pf.get("vfinfo_list", [])
        return [{**vf, "mac": vf.get("address", vf.get("mac"))} for vf in found]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    begun = time.monotonic()
    with Lab(prefix=f"v{os.getpid()}", hosts=0) as lab:
        panel, machine = LabPanel(lab, postgres=True), SriovMachine(lab)
        try:
            with ThreadPoolExecutor() as both:
                for waited in [both.submit(panel.up), both.submit(machine.up)]:
                    waited.result()
            story = Story(lab, panel, machine, begun)
            story.tell("the machine and the panel are up")
            panel.introduce(machine, timeout=SLOW)
            story.tell("enrolled and approved")
            units = ("kvmpanel-firewall", "kvmpanel-vfs", "kvmagent")
            machine.run(["systemctl", "enable", "--now", *units], timeout=SLOW)
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


def test_vfs_made_from_the_page_are_a_guests_while_it_runs_and_as_new_afterwards(story: Story) -> None:
    person, machine = story.person, story.machine
    guest = MachineGuest(machine, "web1")
    guest.define()
    machine.run(["modprobe", "vfio-pci"])  # as `kvmagent doctor` says: libvirt loads nothing by itself

    # The PF carries the way to the panel: guarded, and confirmed by the panel itself over a new connection.
    story.apply(person.set_numvfs(machine, PF, 2))
    assert len(story.kernels_vfs()) == 2
    story.tell("two VFs, made from the page")
    story.await_page(f"{story.page}sriov/", "2 of 7 VFs")

    story.apply(person.set_vf(machine, PF, 1, mac=MAC, vlan=str(VLAN)))
    vf = story.kernels_vfs()[1]
    assert (vf["mac"], vf["vlan_list"][0]["vlan"]) == (MAC, VLAN)
    story.tell("VF 1 has its MAC address and VLAN")

    story.await_page(f"{story.page}sriov/", MAC)
    story.apply(person.make_pool(machine, POOL, PF, 2))
    pool = f"/networks/{person.network_id(machine, POOL)}/"
    story.await_page(pool, f"{pool}stop/")  # the facts may be of the moment before it was started
    story.tell("the pool is there")
    story.apply(person.plug_in(machine, guest.uuid, POOL, GUEST_MAC))
    guest.start()
    story.tell("the guest is started, with a VF of the pool")
    assert story.kernels_vfs()[0]["mac"] == GUEST_MAC
    story.await_page(f"{story.page}sriov/", guest.name)
    with pytest.raises(FormRefused, match=rf"Guests own VFs of {PF}.*{guest.name} \(VF 0\)"):
        person.set_numvfs(machine, PF, 4)
    assert len(story.kernels_vfs()) == 2
    story.tell("another number of VFs is refused")

    # What the next guest must not inherit.
    machine.run(["ip", "link", "set", PF, "vf", "0", "spoofchk", "off", "trust", "on"])
    left = story.kernels_vfs()[0]
    assert (left["spoofchk"], left["trust"]) in {(False, True), ("off", "on")}
    guest.destroy()
    seconds_until(lambda: is_as_new(story.kernels_vfs()[0]), SLOW, lambda: str(story.kernels_vfs()[0]), every=0.5)
    story.tell("the guest is off, and its VF as new")


def is_as_new(vf: dict[str, Any]) -> bool:
    """Whether it has nothing of its last guest."""
    on = (True, "on")
    return vf["mac"] != GUEST_MAC and vf["spoofchk"] in on and vf["trust"] not in on
