"""A host that is restarted in seconds: a Debian with systemd as a container, its card in the lab's LAN.

Its kernel is this machine's, and there is no udev; all else is the Debian that a disk machine has: the owner of its
network, libvirtd, the agent. Each start begins with links that are new, as a kernel's are, so what is there afterwards
came from its files. lab.disk_machine has a kernel of its own, and takes minutes.
"""

from __future__ import annotations

import hashlib
import shutil
import site
import subprocess
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from lab import disk_image, first_start, inner_guest, links, namespaces, network_owners, prerequisites, processes
from lab.disk_image import FILES, NOT_ENABLED
from lab.errors import LabError
from lab.host import FREE_UPLINK, LAN_BRIDGE, UPLINK
from lab.lab import Lab
from lab.network_owners import Owner

SOURCE = Path(__file__).resolve().parent.parent
BOOT_SECONDS = 120.0
# systemd-nspawn gives /proc/sys/net to be written, and not /sys, where NetworkManager sets a bridge's ports. Only once
# it starts: a systemd that may write to /sys starts udev too.
WRITABLE = "[Service]\nExecStartPre=+nsenter -t 1 -m mount -o remount,rw /sys/devices\n"
PORTS_ARE_SET = {"etc/systemd/system/NetworkManager.service.d/sys.conf": WRITABLE}


@dataclass
class SystemContainer:
    """with SystemContainer(lab, "debian1", "networkd", address) as machine: machine.run("ip address")

    name: at most 11 characters. address: of its card eth0, None for DHCP. second: whether it has a second cable into
    the LAN, to a card eth1 without an address. guests: whether it can have some (lab.inner_guest). What it
    writes stays from one start to the next.
    """

    lab: Lab
    name: str
    owner: Owner
    address: IPv4Interface | None
    second: bool = False
    guests: bool = False
    _nspawn: subprocess.Popen[Any] | None = field(default=None, init=False)
    _init: int = field(default=0, init=False)

    def __enter__(self) -> SystemContainer:
        if prerequisites.find("systemd-nspawn") is None:
            raise LabError("Not installed: systemd-nspawn.", "Run: apt-get install systemd-container")
        self._tree = disk_image.tree(print)
        for part in ("upper", "work", "root", "seed"):
            (self.directory / part).mkdir(parents=True)
        more = inner_guest.files() if self.guests else {}
        more |= network_owners.second(self.owner, FREE_UPLINK) | PORTS_ARE_SET if self.second else {}
        first = first_start.archive(self.lab, self.name, self.mac, self.owner, self.address, more)
        subprocess.run(["tar", "-x", "-C", self.directory / "upper"], input=first, check=True)
        self._disable_the_packages_own()
        agent = self.directory / "upper/usr/local/bin/kvmagent"
        agent.parent.mkdir(parents=True)
        agent.write_bytes((FILES / "kvmagent").read_bytes())
        agent.chmod(0o755)
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()
        shutil.rmtree(self.directory)  # the next may have the same name, and nothing of this one

    @property
    def directory(self) -> Path:
        return self.lab.state.directory / self.name

    @property
    def mac(self) -> str:
        digest = hashlib.sha256(f"{self.lab.state.mark} {self.name}".encode()).digest()
        return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])

    @property
    def _second_port(self) -> str:
        return f"{self.name}-2"

    @property
    def namespace(self) -> str:
        return f"{self.lab.state.prefix}-{self.name}"

    def boot(self) -> None:
        """Switch it on and wait until its systemd has started all."""
        namespaces.add(self.lab.state, self.namespace)
        links.add_cable((self.lab.lan.namespace, self.name), (self.namespace, UPLINK), master=LAN_BRIDGE)
        links.set_mac_address(self.namespace, UPLINK, self.mac)
        links.set_state(self.namespace, UPLINK, "down")
        if self.second:
            links.add_cable(
                (self.lab.lan.namespace, self._second_port), (self.namespace, FREE_UPLINK), master=LAN_BRIDGE
            )
            links.set_state(self.namespace, FREE_UPLINK, "down")
        self._nspawn = self.lab.lan.popen(
            ["unshare", "--mount", "sh", "-c", self._script()],
            log=self.directory / "console.log",
            env={"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
        )
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._is_up():
            if time.monotonic() > deadline or self._nspawn.poll() is not None:
                console = (self.directory / "console.log").read_text(errors="replace")[-2000:]
                raise LabError(f"{self.name} did not start.", f"Its console ends: {console}")
            time.sleep(0.1)

    def reboot(self) -> None:
        """As a person would: systemd stops everything, and it is switched on again."""
        self.run("systemctl poweroff --no-block")
        if self._nspawn is not None:
            self._nspawn.wait(BOOT_SECONDS)
        self.cut_power()
        self.boot()

    def cut_power(self) -> None:
        """At once, and its links with it. Nothing happens where it is off."""
        if self._nspawn is None:
            return
        inode = namespaces.path(self.namespace).stat().st_ino
        processes.end_all(inodes={inode}, mark=None)
        self._nspawn.kill()
        self._nspawn.wait()
        self._nspawn = None
        links.delete(self.lab.lan.namespace, self.name)
        if self.second:
            links.delete(self.lab.lan.namespace, self._second_port)
        namespaces.delete(self.lab.state, self.namespace)

    def run(self, command: str, timeout: float = 60, check: bool = True) -> str:
        """Output of a line of shell on it. CalledProcessError with that output where `check` and it failed."""
        done = subprocess.run(
            [*self._entering(), "/bin/bash", "-c", f"cd /; {command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            error = subprocess.CalledProcessError(done.returncode, command, done.stdout)
            error.add_note(f"on {self.name}: {done.stdout}")
            raise error
        return done.stdout

    def await_true(self, condition: str, timeout: float = 60) -> None:
        """Until a line of shell says yes."""
        deadline = time.monotonic() + timeout
        while subprocess.run([*self._entering(), "/bin/bash", "-c", condition], capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                now = self.run("ip -br link; ip -br address; ip route; systemctl --failed --no-legend", check=False)
                raise AssertionError(f"{self.name}: not so after {timeout:g} s: {condition}\n{now}")
            time.sleep(0.2)

    def read(self, path: str) -> str:
        return self.run(f"cat {path}")

    def give(self, name: str, content: str) -> str:
        """Lay a file where the machine reads it; its path there."""
        (self.directory / "seed" / name).write_text(content)
        return f"/opt/kvmpanel/seed/{name}"

    def _script(self) -> str:
        place = self.directory
        binds = {place / "seed": "seed", SOURCE: "source", Path(site.getsitepackages()[0]): "packages"}
        nspawn = f"systemd-nspawn --quiet --directory={place}/root --boot --register=no --keep-unit "
        nspawn += f"--network-namespace-path={namespaces.path(self.namespace)} --machine={self.name} "
        nspawn += "--console=read-only --capability=all "
        nspawn += " ".join(f"--bind-ro={path}:/opt/kvmpanel/{name}" for path, name in binds.items())
        if self.guests:
            nspawn += f" --bind-ro={inner_guest.SHARED}:{inner_guest.PLACE}"
        layers = f"lowerdir={self._tree},upperdir={place}/upper,workdir={place}/work"
        return f"mount -t overlay machine -o {layers} {place}/root && exec {nspawn}"

    def _entering(self) -> list[str]:
        environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        return ["nsenter", f"--target={self._init}", "--all", "env", "-i", *environment]

    def _is_up(self) -> bool:
        assert self._nspawn is not None  # noqa: S101
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        if not children:
            return False
        self._init = int(children[0])
        asked = subprocess.run([*self._entering(), "systemctl", "is-system-running"], capture_output=True, text=True)
        return asked.stdout.strip() in {"running", "degraded"}

    def _disable_the_packages_own(self) -> None:
        """As on the disk of a disk machine: a character device 0/0 is the overlay's word for a file that is gone."""
        units = self._tree / "etc/systemd/system"
        for unit in list(units.rglob("*")):
            where = self.directory / "upper" / unit.relative_to(self._tree)
            if any(unit.match(pattern) for pattern in NOT_ENABLED) and not where.is_symlink():
                where.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["mknod", where, "c", "0", "0"], check=True)
