"""The emulator of the SR-IOV machine: a QEMU that has such a card, its command line, and what it starts in."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab import cache, debian, emulation, initramfs, machine_disk, prerequisites
from lab.kernel import Kernel

# igb before virtio_net: the PF is eth0, the other cable eth1, and VFs that are made at a start come after both.
MODULES = ("virtio_pci", "virtio_blk", "ext4", "9pnet_virtio", "9p", "overlay", "virtio_console", "igb", "virtio_net")
INIT = machine_disk.FILES / "init"
# In Debian 12's QEMU 7.2 there is no igb; in 10.0 its VFs never get a link ("PF still in reset state").
QEMU_SUITE, QEMU_PACKAGE = "trixie", "qemu-system-x86"
# The VF's interrupts cannot be remapped by the emulated IOMMU (intremap): machine_disk.MODPROBE lets VFIO go without.
KERNEL_ARGUMENTS = f"console=ttyS0 {emulation.KERNEL_ARGUMENTS} net.ifnames=0 intel_iommu=on iommu=pt"
# An Intel's instructions, which emulation is quick with, and an AMD's virtualization, which QEMU emulates: so guests
# run by KVM, emulated once and not twice. One processor: two wait for each other's interrupts, a third of their time.
CPU = "Nehalem,vendor=AuthenticAMD,+svm,+npt -smp 1"
MEMORY_MIB = 4096
Progress = Callable[[str], None]


def tree(progress: Progress) -> Path:
    """The tree of a Debian whose QEMU has such a card."""
    return debian.tree("qemu", QEMU_SUITE, (), progress, backports=(QEMU_PACKAGE,))


def around(switch: str, root: Path, qemu: Path) -> list[str]:
    """Where QEMU runs: at the LAN's switch, with its own release's /usr, and this machine's files bound to `root`.

    switch: its namespace. qemu: what `tree` gives. The binding of / comes first: what is mounted over / is not in it,
    nor what is mounted anywhere else on this machine, but for the file systems that hold what the emulated one needs.
    """
    script = ["set -e", 'mkdir -p "$1"', 'mount --bind / "$1"']
    for mount in _mount_points(
        ("/usr", "/var", sys.prefix, sys.base_prefix, str(machine_disk.ROOT), cache.directory())
    ):
        script.append(f'mount --bind {shlex.quote(mount)} "$1"{shlex.quote(mount)}')
    script += ['mount --bind "$2" /usr', "shift 2", 'exec "$@"']
    enter = ["nsenter", f"--net=/run/netns/{switch}", "--", "unshare", "--mount", "--propagation", "private"]
    return [*emulation.NICE, *enter, "--", "sh", "-c", "; ".join(script), "sh", str(root), str(qemu / "usr")]


def argv(kernel: Kernel, directory: Path, root: Path, console: Path, cards: Mapping[str, str]) -> list[str]:
    """directory: of the machine's state, with its disk; its ports for commands are made there. root: see `around`.

    cards: of the two taps at the switch, the PF's first -> the MAC address of what is at their other end.
    """
    (pf, pf_mac), (free, free_mac) = cards.items()
    serial = f"-chardev file,id=console,append=on,path={console} -serial chardev:console"
    words = [
        f"qemu-system-x86_64 -machine q35,kernel-irqchip=off -accel tcg,thread=multi -cpu {CPU}",
        f"-m {MEMORY_MIB} -display none -monitor none -nodefaults -no-reboot",
        f"{serial} -kernel {kernel.unpacked()} -initrd {_initrd(kernel)}",
        "-device intel-iommu,caching-mode=on,intremap=off -device pcie-root-port,id=rp1,chassis=1",
        f"-netdev tap,id=lan,ifname={pf},script=no,downscript=no",
        f"-device igb,netdev=lan,bus=rp1,mac={pf_mac}",
        f"-netdev tap,id=free,ifname={free},script=no,downscript=no",
        f"-device virtio-net-pci,netdev=free,mac={free_mac}",
        f"-drive file={directory}/disk.img,format=raw,if=virtio -device virtio-serial-pci",
    ]
    shares = {
        "root": root,
        "modules": kernel.tree / "lib/modules" / kernel.version,
        "kvmagent": machine_disk.ROOT / "kvmagent",
        "virtnet": machine_disk.ROOT / "virtnet",
    }
    for name, path in shares.items():
        words.append(f"-fsdev local,id={name},path={path},security_model=none,readonly=on,multidevs=remap")
        words.append(f"-device virtio-9p-pci,fsdev={name},mount_tag={name}")
    for port in machine_disk.PORTS:
        words.append(f"-chardev socket,id={port},path={directory}/control.{port},server=on,wait=off")
        words.append(f"-device virtserialport,chardev={port},name={port}")
    kernel_arguments = f"{KERNEL_ARGUMENTS} lab.sources={machine_disk.ROOT}"
    return [*(word for part in words for word in part.split()), "-append", kernel_arguments]


def _initrd(kernel: Kernel) -> Path:
    busybox = Path(prerequisites.find("busybox") or "busybox")
    entries = [
        *(initramfs.directory(name) for name in ("bin", "lib")),
        initramfs.program("bin/busybox", busybox.read_bytes()),
        *kernel.module_entries(MODULES),
        initramfs.program("init", INIT.read_bytes()),
    ]
    content = initramfs.archive(entries)
    return cache.once(f"machine-{hashlib.sha256(content).hexdigest()[:16]}.img", lambda place: _write(place, content))


def _write(place: Path, content: bytes) -> None:
    place.write_bytes(content)


def _mount_points(paths: Sequence[str | Path]) -> list[str]:
    """Where the file systems of these paths are mounted, outer before inner, / left out."""
    found = set()
    for path in paths:
        place = Path(path).resolve()
        while not place.is_mount():
            place = place.parent
        found.add(str(place))
    return sorted(found - {"/"})
