"""The guests' kernel and initramfs: Debian's cloud kernel with a busybox, built once and kept in a cache.

`$XDG_CACHE_HOME/kvmpanel-lab` (or `~/.cache/kvmpanel-lab`) holds `kernel/` (the unpacked Debian package) and one
`guest-RECIPE.img` for each recipe that was built. Delete the directory to get a newer kernel.
"""

import fcntl
import gzip
import hashlib
import lzma
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lab import initramfs, prerequisites
from lab.errors import LabError

KERNEL_PACKAGE = "linux-image-cloud-amd64"  # depends on the current kernel
MODULES = ("virtio_pci", "virtio_net")
FILES = Path(__file__).parent / "guest_files"
RECIPE = 1  # raise when the code below changes what comes out


class GuestImage(NamedTuple):
    kernel: Path
    initrd: Path


def ensure(progress: Callable[[str], None]) -> GuestImage:
    """The image, fetched and built where the cache has none of this recipe. Only a first kernel needs the network."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory, progress):
        tree = directory / "kernel"
        if not tree.exists():
            _fetch_kernel(tree, progress)
        version = next((tree / "lib/modules").iterdir()).name
        initrd = directory / f"guest-{_recipe(version)}.img"
        if not initrd.exists():
            progress("build the guests' initramfs")
            _write(initrd, initramfs.archive(_entries(tree, version)))
    return GuestImage(tree / f"boot/vmlinuz-{version}", initrd)


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kvmpanel-lab"


@contextmanager
def _locked(directory: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """The second builder waits for the first, then finds its work done."""
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("wait for another lab that builds the guests' image")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_kernel(tree: Path, progress: Callable[[str], None]) -> None:
    depends = _apt(["apt-cache", "depends", "--important", KERNEL_PACKAGE])
    package = next((line.split()[1] for line in depends.splitlines() if "Depends: linux-image-" in line), None)
    if package is None:
        raise LabError(f"apt knows no kernel for {KERNEL_PACKAGE}.", "Run: apt-get update")
    progress(f"fetch {package}")
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix="fetch-") as name:
        work = Path(name)
        _apt(["apt-get", "download", package], cwd=work)
        archive = next(work.glob("*.deb"))
        unpacked = work / "kernel"
        subprocess.run(["dpkg-deb", "--extract", archive, unpacked], check=True)
        version = next((unpacked / "lib/modules").iterdir()).name
        subprocess.run([_program("depmod"), "-b", unpacked, version], check=True)
        unpacked.rename(tree)  # in one step: a builder that is killed leaves no half tree


def _apt(command: list[str], cwd: Path | None = None) -> str:
    # Unsandboxed: apt's own user could not write into root's cache directory, and apt would warn each time.
    options = ["-o", "APT::Sandbox::User=root", "-q"]
    result = subprocess.run([command[0], *options, *command[1:]], check=False, capture_output=True, text=True, cwd=cwd)
    if result.returncode != 0:
        raise LabError(f"{' '.join(command)} failed: {result.stderr.strip()}", "Run: apt-get update, then try again.")
    return result.stdout


def _recipe(version: str) -> str:
    """A digest of all that the initramfs is made from."""
    digest = hashlib.sha256(f"{RECIPE} {version} {MODULES}".encode())
    for path in (Path(_program("busybox")), *sorted(FILES.iterdir())):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _entries(tree: Path, version: str) -> Iterator[initramfs.Entry]:
    for name in ("bin", "lib"):
        yield initramfs.directory(name)
    yield initramfs.program("bin/busybox", Path(_program("busybox")).read_bytes())
    modules = _module_files(tree, version)
    for path in modules:
        yield initramfs.program(f"lib/{_module_name(path)}", _module_content(path))
    yield initramfs.program("lib/modules", "".join(f"{_module_name(path)}\n" for path in modules).encode())
    for path in sorted(FILES.iterdir()):
        where = "init" if path.name == "init" else f"bin/{path.name}"
        yield initramfs.program(where, path.read_bytes())


def _module_files(tree: Path, version: str) -> list[Path]:
    """The modules' files in the order in which they must be loaded, each once; what is built in has none."""
    files: dict[Path, None] = {}
    for module in MODULES:
        command: list[str | Path] = [_program("modprobe"), "-d", tree, "-S", version, "--show-depends", module]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in shown.splitlines():
            kind, _, path = line.strip().partition(" ")
            if kind == "insmod":
                files[Path(path.strip())] = None
    return list(files)


def _module_name(path: Path) -> str:
    return path.name.partition(".")[0] + ".ko"


def _module_content(path: Path) -> bytes:
    """Decompressed, whatever this Debian release compresses its modules with."""
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _program(name: str) -> str:
    return prerequisites.find(name) or name


def _write(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
    for old in path.parent.glob("guest-*.img"):
        # An image that a running lab's domains still name must stay; a day is longer than any lab.
        if old != path and path.stat().st_mtime - old.stat().st_mtime > 86_400:
            old.unlink()
