"""A machine with an SR-IOV card: an emulated Intel 82576 (igb) with 7 VFs, whose cable leads to the lab's LAN.

It boots Debian's full kernel and this machine's own files, read-only under a disk of its own; systemd, libvirtd and
networkd run there as on any host. Emulation is by software: a command takes five to ten times as long as outside.

`python -m lab.sriov_machine` puts one up in a lab of its own and tells how to use it; Ctrl-C takes all down.
"""

import argparse
import contextlib
import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType

from lab import debian, emulation, links, machine_disk, sriov_qemu
from lab.errors import LabError
from lab.host import FREE_UPLINK, LAN_BRIDGE, LabHost
from lab.lab import Lab
from lab.machine import LabMachine

ADDRESS = 21  # host part
BOOT_SECONDS = 360.0  # most of it is for a machine that is busy with other things
Progress = Callable[[str], None]


class SriovMachine(LabMachine):
    """A host of a lab that is up; `with SriovMachine(lab) as machine:`.

    Its PF is eth0, with its address on the LAN; eth1 is a second cable into the same LAN, which nothing uses. run and
    popen as on any machine of the lab; no libvirt connection leads into it, so use virsh there. What it writes stays
    over `reboot` and `power_cut`, until `down`.
    """

    uri = "qemu:///system"

    def __init__(self, lab: Lab, name: str = "hostv", progress: Progress = lambda _: None) -> None:
        super().__init__(lab.state, name, lab.subnet[ADDRESS])
        self._lab = lab
        self._progress = progress
        self._qemu: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "SriovMachine":
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def console_log(self) -> Path:
        """All that the kernel and systemd wrote on the serial console, of every boot."""
        return self.state_dir / "console"

    @property
    def ports(self) -> tuple[str, str]:
        """At the LAN's switch: of eth0 with its VFs, and of eth1."""
        return self.name, f"{self.name}-{FREE_UPLINK}"

    @property
    def _switch(self) -> str:
        return f"{self.state.prefix}-lan"

    def entering(self) -> list[str]:
        client = str(Path(__file__).with_name("machine_client.py"))
        return [sys.executable, "-I", "-S", client, str(self.state_dir), "--"]

    def run(
        self, argv: Sequence[str], check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As of every machine; programs take longer here."""
        return super().run(argv, check, timeout, input)

    def up(self) -> None:
        """Make its disk and its port at the LAN's switch, and boot."""
        self.state_dir.mkdir(parents=True)
        kernel = debian.full_kernel(self._progress)
        qemu = sriov_qemu.tree(self._progress)
        emulation.compile_agent()
        machine_disk.make(self.state_dir / "disk.img", self._identity())
        for port in self.ports:
            links.add_tap(self._switch, port, master=LAN_BRIDGE)
        root = self.state_dir / "root"
        cards = dict(zip(self.ports, (self.mac, self._mac(FREE_UPLINK)), strict=True))
        self._start = [
            *sriov_qemu.around(self._switch, root, qemu),
            *sriov_qemu.argv(kernel, self.state_dir, root, self.console_log, cards),
        ]
        self.boot()

    def boot(self) -> None:
        """Switch it on and wait until systemd has started everything."""
        self._progress(f"{self.name}: boot")
        with (self.state_dir / "qemu.log").open("ab") as log:
            self._qemu = subprocess.Popen(
                self._start,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                start_new_session=True,
            )
        self._wait_for_sockets()
        # What is sent before the machine listens waits in QEMU.
        waiting = ["systemctl", "is-system-running", "--wait"]
        try:
            said = self.run(waiting, check=False, timeout=BOOT_SECONDS).stdout.strip()
        except subprocess.TimeoutExpired:
            said = ""
        if said not in {"running", "degraded"}:
            raise LabError(f"{self.name} did not boot in {BOOT_SECONDS:g} s. {said}", self.last_words())

    def reboot(self) -> None:
        """systemctl reboot, and wait until it is up again."""
        self.run(["systemctl", "reboot"], check=False)
        if self._qemu is not None:
            self._qemu.wait(BOOT_SECONDS)  # with -no-reboot it ends where a machine would start anew
        self._forget_sockets()
        self.boot()

    def power_cut(self) -> None:
        """Pull the plug, and boot again."""
        self._kill()
        self.boot()

    def down(self) -> None:
        """Pull the plug and take its port and files away. Safe to repeat; the lab's take-down does as much."""
        self._kill()
        for port in self.ports:
            subprocess.run(["ip", "-n", self._switch, "link", "delete", port], check=False, capture_output=True)
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def journal(self, lines: int = 60) -> str:
        """What its services said last."""
        return self.run(["journalctl", "--no-pager", "--quiet", f"--lines={lines}"], check=False).stdout

    def _identity(self) -> machine_disk.Identity:
        lan = IPv4Interface((self.address, self._lab.subnet.prefixlen))
        names = {machine.name: machine.address for machine in [*self._lab.machines(), self]}
        return machine_disk.Identity(
            hostname=self.name,
            machine_id=hashlib.sha256(f"{self.state.mark} {self.name}".encode()).hexdigest()[:32],
            address=lan,
            gateway=self._lab.router.address,
            resolver=LabHost.resolver(lan),
            names="".join(f"{address} {name}\n" for name, address in names.items()),
        )

    @property
    def mac(self) -> str:
        """Of its PF. Another in each lab."""
        return self._mac("eth0")

    def _mac(self, link: str) -> str:
        digest = hashlib.sha256(f"{self.state.mark} {self.name} {link}".encode()).digest()
        return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *digest[:3]))

    def _wait_for_sockets(self) -> None:
        """Until QEMU listens; LabError with its own words where it ends instead."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not all((self.state_dir / f"control.{port}").is_socket() for port in machine_disk.PORTS):
            if self._qemu is None or self._qemu.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"QEMU did not start {self.name}.", self.last_words())
            time.sleep(0.05)

    def last_words(self) -> str:
        """What QEMU, the kernel and systemd said last, also of a machine that is off."""
        logs = (self.state_dir / "qemu.log", self.console_log)
        return "\n".join(f"{log}: {log.read_text(errors='replace')[-2000:]}" for log in logs if log.exists())

    def _kill(self) -> None:
        if self._qemu is not None and self._qemu.poll() is None:
            self._qemu.send_signal(signal.SIGKILL)
            self._qemu.wait()
        self._forget_sockets()

    def _forget_sockets(self) -> None:
        for port in machine_disk.PORTS:
            (self.state_dir / f"control.{port}").unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.sriov_machine", description=__doc__)
    parser.add_argument("--prefix", default="sr", help="name of the lab (default sr)")
    actions = parser.add_subparsers(metavar="ACTION")
    run = actions.add_parser("run", help="run a command in the machine that another process has put up")
    run.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    try:
        if "command" in arguments:
            machine = SriovMachine(Lab.find(arguments.prefix))
            return machine.popen(arguments.command, stdin=None, start_new_session=False).wait()
        _stay_up(arguments.prefix)
    except LabError as error:
        print(f"lab: {error.problem}\n     {error.remedy}", file=sys.stderr)
        return 1
    return 0


def _stay_up(prefix: str) -> None:
    started = time.monotonic()

    def tell(part: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {part}", flush=True)

    with Lab(prefix, hosts=0, progress=tell) as lab, SriovMachine(lab, progress=tell) as machine:
        tell(f"{machine.name} is up: python -m lab.sriov_machine --prefix {prefix} run ip link")
        # Not before: pyroute2 ends by SIGTERM what it forks to enter a namespace. SIGINT may have come ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
