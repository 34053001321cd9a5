"""The guests' kernel and initramfs: a kernel of Debian's with a busybox, built once for each recipe and cached."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lab import cache, debian, initramfs, prerequisites
from lab.kernel import Kernel

MODULES = ("virtio_pci", "virtio_net")
VF_DRIVER = "igbvf"
FILES = Path(__file__).parent / "guest_files"
RECIPE = 1  # raise when the code below changes what comes out


class GuestImage(NamedTuple):
    kernel: Path
    initrd: Path


def ensure(progress: Callable[[str], None]) -> GuestImage:
    """The image, fetched and built where the cache has none of this recipe. Only a first kernel needs the network."""
    kernel = debian.cloud_kernel(progress)
    return GuestImage(kernel.image, _initrd("guest", kernel, MODULES, progress))


def with_vf_driver(progress: Callable[[str], None]) -> GuestImage:
    """For a guest in the SR-IOV machine: the cloud kernel knows no VF of its card. The kernel is unpacked already."""
    kernel = debian.full_kernel(progress)
    return GuestImage(kernel.unpacked(), _initrd("vf-guest", kernel, (*MODULES, VF_DRIVER), progress))


def _initrd(kind: str, kernel: Kernel, modules: tuple[str, ...], progress: Callable[[str], None]) -> Path:
    busybox = Path(prerequisites.find("busybox") or "busybox")

    def build(place: Path) -> None:
        progress("build the guests' initramfs")
        place.write_bytes(initramfs.archive(_entries(kernel, modules, busybox)))

    initrd = cache.once(f"{kind}-{_recipe(kernel, modules, busybox)}.img", build, progress)
    _remove_older(kind, initrd)
    return initrd


def _recipe(kernel: Kernel, modules: tuple[str, ...], busybox: Path) -> str:
    """A digest of all that the initramfs is made from."""
    digest = hashlib.sha256(f"{RECIPE} {kernel.version} {modules}".encode())
    for path in (busybox, *sorted(FILES.iterdir())):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _entries(kernel: Kernel, modules: tuple[str, ...], busybox: Path) -> Iterator[initramfs.Entry]:
    for name in ("bin", "lib"):
        yield initramfs.directory(name)
    yield initramfs.program("bin/busybox", busybox.read_bytes())
    yield from kernel.module_entries(modules)
    for path in sorted(FILES.iterdir()):
        where = "init" if path.name == "init" else f"bin/{path.name}"
        yield initramfs.program(where, path.read_bytes())


def _remove_older(kind: str, image: Path) -> None:
    for old in image.parent.glob(f"{kind}-*.img"):
        # An image that a running lab's domains still name must stay; a day is longer than any lab.
        if old != image and image.stat().st_mtime - old.stat().st_mtime > 86_400:
            old.unlink()
