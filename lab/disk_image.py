"""The disk that each disk machine starts from: a Debian with systemd, libvirtd and all four owners of a network.

None of the owners is enabled; a machine's first start says which one is (lab.network_owners).
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lab import cache, debian, emulation, initramfs, prerequisites
from lab.kernel import Kernel

PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2", "iputils-ping", "tcpdump"),
    *("ifupdown", "isc-dhcp-client", "netplan.io", "network-manager"),
    *("libvirt-daemon-system", "libvirt-clients", "dnsmasq-base", "nftables", "python3"),
)
FIRST_MODULES = ("virtio_pci", "virtio_blk", "ext4", "9p", "9pnet_virtio")  # the others are udev's business
MODULES = (
    "net",
    "drivers/net",
    "drivers/virtio",
    "drivers/vhost",
    "fs/9p",
    "fs/netfs",
    "fs/fscache",
    "fs/fuse",
    "fs/autofs",
    "lib",
)
FILES = Path(__file__).parent / "disk_files"
SERVE = Path(__file__).parent / "guest_files" / "serve"
# Of the packages' own units: what would own the network, and what would run beside a test.
NOT_ENABLED = ("networking.service", "NetworkManager*.service", "*.timer", "e2scrub*.service", "*nm-dispatcher*")
SIZE = 3 << 30  # bytes; sparse
RECIPE = 3  # raise when the code below changes what comes out

CACHED_SHARE = "9p trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro 0 0"
# The product comes from outside, so that a change of it needs no other disk.
FSTAB = "".join(f"{share} /opt/kvmpanel/{share} {CACHED_SHARE}\n" for share in ("source", "packages"))
FSTAB += "seed /run/lab 9p trans=virtio,version=9p2000.L,ro 0 0\n"  # no cache: files are laid there any time


class DiskImage(NamedTuple):
    """disk: raw, a base for overlays; it is never written to."""

    kernel: Path
    initrd: Path
    disk: Path


def tree(progress: Callable[[str], None]) -> Path:
    """The Debian that is on the disk, and that a system container has too. Never written to."""
    return debian.tree("machine", "bookworm", PACKAGES, progress)


def ensure(progress: Callable[[str], None]) -> DiskImage:
    """Built where the cache has none of this recipe: some minutes the first time, and it needs the network then."""
    kernel = debian.full_kernel(progress)
    machine = tree(progress)
    recipe = _recipe(kernel, machine)

    def build_initrd(place: Path) -> None:
        place.write_bytes(initramfs.archive(_initramfs(kernel)))

    def build_disk(place: Path) -> None:
        progress("machine: build its disk")
        _build_disk(place, machine, kernel)

    initrd = cache.once(f"disk-machine-{recipe}.initrd", build_initrd)
    return DiskImage(kernel.unpacked(), initrd, cache.once(f"disk-machine-{recipe}.img", build_disk))


def _recipe(kernel: Kernel, tree: Path) -> str:
    parts = (RECIPE, kernel.version, tree.name, FIRST_MODULES, NOT_ENABLED, MODULES, FSTAB, emulation.MASKED)
    digest = hashlib.sha256(" ".join(map(str, parts)).encode())
    for path in (SERVE, *sorted(FILES.iterdir())):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _initramfs(kernel: Kernel) -> Iterator[initramfs.Entry]:
    for name in ("bin", "lib"):
        yield initramfs.directory(name)
    yield initramfs.program("bin/busybox", _busybox().read_bytes())
    yield from kernel.module_entries(FIRST_MODULES)
    yield initramfs.program("init", (FILES / "init").read_bytes())


def _build_disk(place: Path, tree: Path, kernel: Kernel) -> None:
    root = place.parent / "root"
    # A copy that shares the files' contents where the file system can.
    subprocess.run(["cp", "-a", "--reflink=auto", tree, root], check=True)
    _copy_modules(kernel, root)
    units = root / "etc/systemd/system"
    for unit in list(units.rglob("*")):
        if any(unit.match(pattern) for pattern in NOT_ENABLED):
            unit.unlink()
    for masked in emulation.MASKED:
        (units / masked).symlink_to("/dev/null")
    (root / "usr/lib/lab").mkdir()
    shutil.copy(_busybox(), root / "usr/lib/lab/busybox")
    # What is asked runs in Debian's own shell: in busybox's it would find busybox's `ip`, `mount` …
    serve = SERVE.read_text().replace("#!/bin/busybox", "#!/usr/lib/lab/busybox").replace(" sh /tmp", " /bin/sh /tmp")
    (root / "usr/lib/lab/serve").write_text(serve)
    (root / "usr/lib/lab/serve").chmod(0o755)
    shutil.copy(FILES / "serve.service", units / "serve.service")
    (units / "sysinit.target.wants/serve.service").symlink_to("/etc/systemd/system/serve.service")
    shutil.copy(FILES / "kvmagent", root / "usr/local/bin/kvmagent")
    for share in ("source", "packages"):
        (root / "opt/kvmpanel" / share).mkdir(parents=True)
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/machine-id").unlink(missing_ok=True)
    with place.open("wb") as file:
        file.truncate(SIZE)
    mkfs = prerequisites.find("mkfs.ext4") or "mkfs.ext4"
    subprocess.run([mkfs, "-q", "-F", "-d", root, place], check=True)
    shutil.rmtree(root)


def _copy_modules(kernel: Kernel, root: Path) -> None:
    """Only those of a host's network and of this machine's devices: udev loads whatever it finds a device for."""
    source, target = (tree / "lib/modules" / kernel.version for tree in (kernel.tree, root / "usr"))
    for directory in MODULES:
        shutil.copytree(source / "kernel" / directory, target / "kernel" / directory)
    for list_of_all in source.glob("modules.*"):
        shutil.copy(list_of_all, target)
    subprocess.run([prerequisites.find("depmod") or "depmod", "-b", root / "usr", kernel.version], check=True)


def _busybox() -> Path:
    return Path(prerequisites.find("busybox") or "busybox")
