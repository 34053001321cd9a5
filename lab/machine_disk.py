"""The disk of an emulated machine: what it has of its own, over this machine's files, and all that it ever writes.

The disk holds the upper directory of an overlay. A directory marked opaque hides this machine's directory of the same
name, so nothing of this machine's configuration or state reaches the emulated one.
"""

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from lab import emulation, libvirtd, prerequisites
from lab.mounts import EMPTY

ROOT = Path(__file__).resolve().parent.parent
FILES = Path(__file__).parent / "machine_files"
SIZE = "1G"  # sparse: only what is written takes place
PORTS = tuple(f"lab.{number}" for number in range(4))  # names of the virtio-serial ports for the lab's commands
OPAQUE = (
    *EMPTY,
    "/etc/NetworkManager",
    "/etc/init.d",  # no daemon of this machine starts there
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/systemd/network",
    "/etc/systemd/system",
    "/etc/udev/rules.d",
    "/tmp",
    "/var/lib/systemd",
    "/var/log",
    "/var/tmp",
)
STICKY = ("/tmp", "/var/tmp")
SERVICES = {
    "multi-user.target": ("libvirtd.service", "systemd-networkd.service"),
    "network-online.target": ("systemd-networkd-wait-online.service",),
    "sockets.target": ("libvirtd-ro.socket", "libvirtd.socket", "virtlockd.socket", "virtlogd.socket"),
    "sysinit.target": ("lab-control.service",),
}
# A guest gets a VF although the emulated IOMMU remaps no interrupts.
MODPROBE = "options vfio_iommu_type1 allow_unsafe_interrupts=1\n"


@dataclass(frozen=True)
class Identity:
    """What tells this machine from others. address: of its PF, with the LAN's prefix. names: text of /etc/hosts."""

    hostname: str
    machine_id: str
    address: IPv4Interface
    gateway: IPv4Address
    resolver: IPv4Address
    names: str


def make(image: Path, identity: Identity) -> None:
    """Write a new disk to `image`, without a mount: mkfs.ext4 copies the files in."""
    tree = image.with_suffix(".tree")
    upper = tree / "upper"
    (tree / "work").mkdir(parents=True)
    upper.mkdir()
    for name in OPAQUE:
        directory = upper / name[1:]
        directory.mkdir(parents=True, exist_ok=True)
        os.setxattr(directory, "trusted.overlay.opaque", b"y")
    for name in STICKY:
        (upper / name[1:]).chmod(0o1777)
    # Hides the file by which systemd takes the machine for a container, where this one is one.
    os.mknod(upper / ".dockerenv", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    for name, text in _files(identity).items():
        path = upper / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (upper / "usr/local/bin/kvmagent").chmod(0o755)
    _units(upper / "etc/systemd/system")
    with image.open("wb"):
        pass
    lazy = "lazy_itable_init=1,lazy_journal_init=1"
    mkfs: list[str | Path] = [
        prerequisites.find("mkfs.ext4") or "mkfs.ext4",
        "-q",
        "-F",
        "-E",
        lazy,
        "-d",
        tree,
        image,
        SIZE,
    ]
    subprocess.run(mkfs, check=True)
    shutil.rmtree(tree)


def _files(identity: Identity) -> dict[str, str]:
    python = sys.executable
    return {
        **emulation.FILES,
        "/etc/fstab": "",
        "/etc/hostname": f"{identity.hostname}\n",
        "/etc/hosts": f"127.0.0.1 localhost\n{identity.names}",
        "/etc/libvirt/libvirtd.conf": libvirtd.LIBVIRTD_CONF,
        "/etc/libvirt/qemu.conf": libvirtd.QEMU_CONF,
        "/etc/machine-id": f"{identity.machine_id}\n",
        "/etc/modprobe.d/lab.conf": MODPROBE,
        "/etc/modules-load.d/lab.conf": "tun\nkvm_amd\n",  # for /dev/net/tun, else kmod-static-nodes' work; and guests
        "/etc/resolv.conf": f"nameserver {identity.resolver}\n",
        "/etc/systemd/network/10-eth0.network": (
            f"[Match]\nName=eth0\n\n[Network]\nAddress={identity.address}\nGateway={identity.gateway}\n"
        ),
        # As long as an emulated machine that waits for others needs, for the agent above all.
        "/etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStartSec=600\n",
        # The agent from this repository, wherever that is: a home is hidden from the service otherwise.
        "/etc/systemd/system/kvmagent.service.d/lab.conf": "[Service]\nProtectHome=read-only\n",
        "/usr/local/bin/kvmagent": f'#!/bin/sh\nPYTHONPATH={ROOT} exec {python} -m kvmagent "$@"\n',
        "/usr/local/lib/lab-serve.py": (FILES / "serve.py").read_text(),
        "/var/log/libvirt/libvirtd.log": "",
    }


def _units(directory: Path) -> None:
    for file in (ROOT / "kvmagent").glob("*.service"):
        shutil.copyfile(file, directory / file.name)
    control = (FILES / "control.service").read_text().replace("@PYTHON@", str(Path(sys.executable).resolve()))
    (directory / "lab-control.service").write_text(control)
    (directory / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for target, services in SERVICES.items():
        wants = directory / f"{target}.wants"
        wants.mkdir()
        for service in services:
            own = directory / service
            (wants / service).symlink_to(f"../{service}" if own.exists() else f"/lib/systemd/system/{service}")
    for unit in (*emulation.MASKED, "kmod-static-nodes.service"):
        (directory / unit).symlink_to("/dev/null")
