"""A host that is really restarted: a Debian with systemd on a disk of its own, emulated, its card in the lab's LAN."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import site
import subprocess
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path

from lab import disk_image, emulation, first_start, inner_guest, links
from lab.disk_image import DiskImage
from lab.errors import LabError
from lab.host import LAN_BRIDGE
from lab.lab import Lab
from lab.network_owners import Owner
from lab.serial_line import SerialLine

SOURCE = Path(__file__).resolve().parent.parent
MEMORY_MIB = 768
CPU = "Nehalem,+rdrand"  # with AVX and more, emulation would be slower
KERNEL_ARGUMENTS = f"console=ttyS0 {emulation.KERNEL_ARGUMENTS} systemd.show_status=yes"
FSTAB = disk_image.FSTAB + f"usr {inner_guest.PLACE} {disk_image.CACHED_SHARE}\n"
BOOT_SECONDS = 600.0  # far above the usual 13: several may boot on one slow machine


@dataclass
class DiskMachine:
    """with DiskMachine(lab, image, "debian1", "networkd", address) as machine: machine.run("ip address")

    name: at most 11 characters, also of its port on the LAN's switch. address: of its card eth0, None for DHCP. guests:
    whether it can have some (lab.inner_guest).
    Inside the `with` it is up and answers; what it writes to its disk stays from one start to the next.
    """

    lab: Lab
    image: DiskImage
    name: str
    owner: Owner
    address: IPv4Interface | None
    kernel_arguments: str = "net.ifnames=0"
    guests: bool = False
    _qemu: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> DiskMachine:
        emulation.compile_agent()
        self.directory.mkdir(parents=True)
        (self.directory / "seed").mkdir()
        more = {path[1:]: text for path, text in emulation.FILES.items()}
        more |= inner_guest.files() | {"etc/fstab": FSTAB} if self.guests else {}
        first = first_start.archive(self.lab, self.name, self.mac, self.owner, self.address, more)
        (self.directory / "seed" / "first-start.tar").write_bytes(first)
        make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.image.disk), str(self._disk)]
        subprocess.run(make, check=True)
        links.add_tap(self.lab.lan.namespace, self.name, master=LAN_BRIDGE)
        self.boot()
        (self.directory / "seed" / "first-start.tar").unlink()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()
        links.delete(self.lab.lan.namespace, self.name)
        shutil.rmtree(self.directory)  # the next may have the same name, and nothing of this one

    @property
    def directory(self) -> Path:
        return self.lab.state.directory / self.name

    @property
    def mac(self) -> str:
        """Of its card: the permanent one."""
        digest = hashlib.sha256(f"{self.lab.state.mark} {self.name}".encode()).digest()
        return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    def boot(self) -> float:
        """Switch it on and wait until its systemd has started all: seconds that this took. LabError with the end of its
        console."""
        begun = time.monotonic()
        self._qemu = self.lab.lan.popen(self._command(), log=self.directory / "qemu.log")
        while not self._socket.exists():
            if self._qemu.poll() is not None:
                raise LabError(f"{self.name} did not start.", (self.directory / "qemu.log").read_text()[-1000:])
            time.sleep(0.05)
        try:
            with SerialLine.connect(self._socket) as line:
                line.wait_ready(BOOT_SECONDS)
                _, said = line.run("systemctl is-system-running --wait", BOOT_SECONDS)
            if said.strip() not in {"running", "degraded"}:
                raise TimeoutError(said)
        except (TimeoutError, ConnectionError) as error:
            console = self.console_log.read_text(errors="replace")[-2000:]
            raise LabError(
                f"{self.name} did not start in {BOOT_SECONDS:g} s.", f"Its console ends: {console}"
            ) from error
        return time.monotonic() - begun

    def reboot(self, kernel_arguments: str | None = None) -> None:
        """As a person would: systemd stops everything, and it is switched on again, with other arguments if given."""
        self.power_off()
        if kernel_arguments is not None:
            self.kernel_arguments = kernel_arguments
        self.boot()

    def power_off(self, timeout: float = BOOT_SECONDS) -> None:
        """systemctl poweroff, to its end."""
        self.run("systemctl poweroff --no-block")
        if self._qemu is not None:
            self._qemu.wait(timeout)
        self.cut_power()

    def cut_power(self) -> None:
        """At once: what has not reached the disk is lost. Nothing happens where it is off."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
        self._socket.unlink(missing_ok=True)

    def copy_disk(self, copy: Path) -> None:
        """What a power cut at this moment would leave: without what the machine, or its disk's own cache, has not
        written yet. The machine stands still meanwhile."""
        assert self._qemu is not None  # noqa: S101
        self._qemu.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._qemu.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            shutil.copyfile(self._disk, copy)
        finally:
            self._qemu.send_signal(signal.SIGCONT)

    def put_disk(self, copy: Path) -> None:
        """A copy of its disk becomes its disk. The machine is off."""
        shutil.move(copy, self._disk)

    def told(self) -> list[str]:
        """Lines that came over its third serial line since it was switched on."""
        return (self.directory / "told").read_text().split("\n")[:-1]

    def run(self, command: str, timeout: float = 60, check: bool = True) -> str:
        """Output of a line of shell on it. CalledProcessError with that output where `check` and it failed."""
        with SerialLine.connect(self._socket) as line:
            status, output = line.run(command, timeout)
        if check and status != 0:
            error = subprocess.CalledProcessError(status, command, output)
            error.add_note(f"on {self.name}: {output}")
            raise error
        return output

    def await_true(self, condition: str, timeout: float = 60) -> None:
        """Until a line of shell says yes, asked five times a second on the machine itself."""
        script = f"until {condition}; do sleep 0.2; done >/dev/null 2>&1"
        try:
            self.run(script, timeout)
        except TimeoutError as error:
            links_now = self.run("ip -br link; ip -br address; ip route; systemctl --failed --no-legend")
            raise AssertionError(f"{self.name}: not so after {timeout:g} s: {condition}\n{links_now}") from error

    def read(self, path: str) -> str:
        return self.run(f"cat {path}")

    def give(self, name: str, content: str) -> str:
        """Lay a file where the machine reads it; its path there."""
        (self.directory / "seed" / name).write_text(content)
        return f"/run/lab/{name}"

    @property
    def _disk(self) -> Path:
        return self.directory / "disk.qcow2"

    @property
    def _socket(self) -> Path:
        return self.directory / "serial"

    def _command(self) -> list[str]:
        shares = {"seed": self.directory / "seed", "source": SOURCE, "packages": Path(site.getsitepackages()[0])}
        shares |= {"usr": inner_guest.SHARED} if self.guests else {}
        command = [
            *emulation.NICE,
            "qemu-system-x86_64",
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            CPU,
            "-smp",
            "1",
        ]
        command += ["-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-no-reboot"]
        command += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)]
        command += ["-append", f"{KERNEL_ARGUMENTS} {self.kernel_arguments}"]
        command += ["-drive", f"file={self._disk},format=qcow2,if=virtio"]
        command += ["-netdev", f"tap,id=lan,ifname={self.name},script=no,downscript=no"]
        command += ["-device", f"virtio-net-pci,netdev=lan,mac={self.mac}"]
        command += ["-serial", f"file:{self.console_log}", "-serial", f"unix:{self._socket},server=on,wait=off"]
        command += ["-serial", f"file:{self.directory}/told"]
        for tag, path in shares.items():
            share = f"local,id={tag},path={path},security_model=none,readonly=on,multidevs=remap"
            command += ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return command
