"""The lab as a whole: put up, found again, taken down."""

import string
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from types import TracebackType

from lab import guest_image, internet, libvirtd, namespaces, prerequisites, processes
from lab import state as record
from lab.errors import LabError
from lab.guest import LabGuest
from lab.host import LabHost
from lab.machine import LabMachine
from lab.probe import Probe
from lab.state import State

Progress = Callable[[str], None]
SUBNET = IPv4Network("10.77.0.0/24")
MOST_HOSTS = 8
ROLES = ("web", "db", "app", "mail", "cache", "queue", "build", "log")  # names of the guests, a role for each host
ROUTER, PANEL, CLIENT, FIRST_HOST = 1, 2, 9, 11  # host part of the address


class Lab:
    """KVM hosts on a LAN with a router to a small Internet, in namespaces of this machine.

    with Lab(prefix="kp", hosts=2, guests_per_host=1) as lab:
        lab.hosts[0].run(["ip", "link"])

    prefix: two labs with different prefixes can be up at the same time. subnet: the LAN's, a /24.
    Guests are defined and off; start them with `guest.start()`.
    """

    def __init__(
        self,
        prefix: str = "kp",
        hosts: int = 2,
        guests_per_host: int = 1,
        subnet: IPv4Network = SUBNET,
        progress: Progress | None = None,
    ) -> None:
        if not 0 <= hosts <= MOST_HOSTS:
            raise LabError(f"A lab of {hosts} hosts is not possible.", f"Choose 0 to {MOST_HOSTS}.")
        self._lay_out(State(prefix, hosts, guests_per_host, str(subnet)))
        self._progress = progress

    @classmethod
    def find(cls, prefix: str = "kp") -> "Lab":
        """The lab that another process put up, whether it was left up or is in use. LabError when there is none."""
        state = record.load(prefix)
        if state is None:
            raise LabError(f"No lab “{prefix}” is up.", f"Run: python -m lab up --prefix {prefix}")
        lab = cls(prefix)
        lab._lay_out(state)
        return lab

    def __enter__(self) -> "Lab":
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self, progress: Progress | None = None) -> None:
        """Put everything up, after taking down what a killed lab of this prefix left. On failure nothing stays.

        progress: told each part before it begins.
        """
        tell = progress or self._progress or _silent
        prerequisites.check()
        with record.lock(self.state.prefix):
            self._clear_the_place(tell)
            self.state.take_ownership()
            self.state.save()
            try:
                self._put_up(tell)
            except BaseException:
                self._take_down()
                raise
            self.state.complete = True
            self.state.save()

    def leave_up(self) -> None:
        """Let the lab outlive this process; `python -m lab down` takes it down."""
        self.state.owner = None
        self.state.save()

    def down(self) -> None:
        """Kill the lab's processes, delete its namespaces and files. Safe to repeat."""
        with record.lock(self.state.prefix):
            state = record.load(self.state.prefix)
            if state is not None and state.mark == self.state.mark:
                self._take_down()

    def start_guests(self) -> None:
        """Start every guest and wait until all are ready."""
        guests = [guest for host in self.hosts for guest in host.guests]
        for guest in guests:
            guest.start()
        for guest in guests:
            guest.wait_ready()

    def host(self, name: str) -> LabHost:
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(
            f"The lab has no host “{name}”.", f"Choose one of {', '.join(host.name for host in self.hosts)}."
        )

    def machines(self) -> list[LabMachine]:
        return [self.internet, self.lan, self.router, self.panel, self.client, *self.hosts]

    def probe(self, host: LabHost, link: str, name: str, source_mode: str | None = None) -> Probe:
        """A stand-in for a guest on a bridge of `host`, or with a source_mode on a link by macvtap; for a `with`."""
        return Probe(self.state, name, IPv4Address(0), host=host, link=link, source_mode=source_mode)

    def _lay_out(self, state: State) -> None:
        subnet = IPv4Network(state.subnet)
        self.state = state
        self.subnet = subnet
        self.internet = LabMachine(state, "internet", internet.INTERNET.ip)
        self.router = LabMachine(state, "router", subnet[ROUTER])
        self.lan = LabMachine(state, "lan", LabHost.resolver(IPv4Interface(subnet.with_prefixlen)))
        self.panel = LabMachine(state, "panel", subnet[PANEL])
        self.client = LabMachine(state, "client", subnet[CLIENT])
        self.hosts = [self._host(number) for number in range(state.hosts)]

    def _host(self, number: int) -> LabHost:
        host = LabHost(self.state, f"host{string.ascii_lowercase[number]}", self.subnet[FIRST_HOST + number])
        names = (f"{ROLES[number]}{guest}" for guest in range(1, self.state.guests_per_host + 1))
        host.guests = [LabGuest(host, name) for name in names]
        return host

    def _clear_the_place(self, tell: Progress) -> None:
        old = record.load(self.state.prefix)
        if old is not None:
            if not old.is_abandoned():
                who = f"process {old.owner.pid} uses it" if old.owner is not None else "it was left up"
                remedy = (
                    "Stop that process" if old.owner is not None else f"Run: python -m lab down --prefix {old.prefix}"
                )
                raise LabError(f"Lab “{old.prefix}” is up: {who}.", f"{remedy}, or choose another --prefix.")
            tell("remove what a killed lab left")
            _remove(old)
        elif self.state.directory.exists():
            self.state.forget()  # a take-down that was killed in its last step, the removal of its files
        namespaces.refuse_foreign(self.state, [machine.namespace for machine in self.machines()])

    def _put_up(self, tell: Progress) -> None:
        image = guest_image.ensure(tell)
        names = {machine.name: machine.address for machine in self.machines() if machine is not self.internet}
        tell("LAN, router, Internet")
        internet.put_up_internet(self.internet)
        internet.put_up_lan(self.lan, self.subnet, self.router.address, names)
        internet.put_up_router(self.router, self.subnet)
        internet.open_internet(self.internet)
        tell("panel, client")
        for machine in (self.panel, self.client):
            internet.put_up_machine(machine, self.subnet, self.router.address)
        hosts_file = "".join(f"{address} {name}\n" for name, address in names.items())
        for host in self.hosts:
            tell(f"{host.name}: network, mounts, libvirtd")
            host.up(IPv4Interface((host.address, self.subnet.prefixlen)), self.router.address, hosts_file)
            for guest in host.guests:
                guest.define(image)
            libvirtd.keep_capabilities(host.state_dir)

    def _take_down(self) -> None:
        _remove(self.state)
        self.state.namespaces.clear()
        self.state.anchors.clear()
        self.state.complete = False


def remove_abandoned(spare: Callable[[str], bool] = lambda prefix: False) -> list[str]:
    """Take down every lab whose process was killed, and return their prefixes. Labs in use or left up stay.

    spare: whether the lab of this prefix is to stay though its process was killed.
    """
    removed = []
    for state in record.load_all():
        if not state.is_abandoned() or spare(state.prefix):
            continue
        try:
            with record.lock(state.prefix):
                current = record.load(state.prefix)
                if current is not None and current.is_abandoned():
                    _remove(current)
                    removed.append(state.prefix)
        except record.Locked:
            continue  # another process is taking it down, or puts its own up in its place
    return removed


def _remove(state: State) -> None:
    """Whatever the record names, however far the lab got. Processes first: they keep namespaces and mounts alive."""
    if state.is_of_this_boot():
        mounts = {inode for anchor in state.anchors.values() if (inode := _mount_namespace(anchor)) is not None}
        processes.end_all(inodes=namespaces.inodes(state) | mounts, mark=state.mark)
        for name in list(state.namespaces):
            namespaces.delete(state, name)
    state.forget()


def _mount_namespace(anchor: processes.ProcessId) -> int | None:
    if not processes.is_alive(anchor):
        return None
    return Path(f"/proc/{anchor.pid}/ns/mnt").stat().st_ino


def _silent(_: str) -> None:
    """The progress of a lab that nobody watches."""
