"""What the machine must offer before a lab can be put up: root, programs, an overlay filesystem."""

import os
import shutil
from pathlib import Path

from lab.errors import LabError

# program → Debian package that brings it
PROGRAMS = {
    "apt-get": "apt",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "dnsmasq": "dnsmasq-base",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon",
    "modprobe": "kmod",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "qemu-system-x86_64": "qemu-system-x86",
    "unshare": "util-linux",
    "virtlogd": "libvirt-daemon",
}
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check() -> None:
    """Raise LabError with the remedy unless this process may put up a lab here."""
    if os.geteuid() != 0:
        raise LabError("The lab makes network namespaces and needs root.", "Run it again with sudo.")
    missing = {program: package for program, package in PROGRAMS.items() if find(program) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(f"Not installed: {', '.join(sorted(missing))}.", f"Run: apt-get install {packages}")
    if "\toverlay\n" not in Path("/proc/filesystems").read_text() and not Path("/sys/module/overlay").exists():
        raise LabError(
            "This kernel offers no overlay filesystem, which keeps a host's /etc and /var to itself.",
            "Run: modprobe overlay",
        )


def find(program: str) -> str | None:
    """The path of `program`, also where an ordinary user's PATH leaves out the sbin directories."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
