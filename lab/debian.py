"""Debian's packages for the lab's machines: kernels, and whole trees, fetched once and kept in the cache."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import cache, prerequisites
from lab.errors import LabError
from lab.kernel import Kernel

CLOUD, FULL = "linux-image-cloud-amd64", "linux-image-amd64"  # each depends on the current kernel
MIRROR = "http://deb.debian.org/debian"
TREE_RECIPE = 1  # raise when `_make_tree` changes what comes out

Progress = Callable[[str], None]


def cloud_kernel(progress: Progress) -> Kernel:
    """The kernel of the lab's guests: small, virtio only."""
    return Kernel(cache.once("kernel", lambda place: _fetch_kernel(CLOUD, place, progress), progress))


def full_kernel(progress: Progress) -> Kernel:
    """The kernel with all of Debian's modules: VLANs, SR-IOV cards, VFIO, ext4 …"""
    return Kernel(cache.once("full-kernel", lambda place: _fetch_kernel(FULL, place, progress), progress))


def tree(name: str, suite: str, packages: Sequence[str], progress: Progress, *, backports: Sequence[str] = ()) -> Path:
    """A Debian of this suite with these packages, as a directory that can be chrooted into: copy it, never change it.

    name: tells trees apart in the cache. backports: packages that come from SUITE-backports. Some minutes the first
    time; LabError with apt's own words when it fails.
    """
    recipe = f"{TREE_RECIPE} {suite} {sorted(packages)} {sorted(backports)}"
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]

    def make(place: Path) -> None:
        _make_tree(place, suite, packages, backports, lambda part: progress(f"{name}: {part}"))

    return cache.once(f"tree-{name}-{digest}", make, progress)


def _fetch_kernel(package: str, place: Path, progress: Progress) -> None:
    depends = _apt(["apt-cache", "depends", "--important", package])
    image = next((line.split()[1] for line in depends.splitlines() if "Depends: linux-image-" in line), None)
    if image is None:
        raise LabError(f"apt knows no kernel for {package}.", "Run: apt-get update")
    progress(f"fetch {image}")
    _apt(["apt-get", "download", image], cwd=place.parent)
    subprocess.run(["dpkg-deb", "--extract", next(place.parent.glob("*.deb")), place], check=True)
    depmod = prerequisites.find("depmod") or "depmod"
    subprocess.run([depmod, "-b", place, Kernel(place).version], check=True)


def _apt(command: list[str], cwd: Path | None = None) -> str:
    # Unsandboxed: apt's own user could not write into root's cache directory, and apt would warn each time.
    options = ["-o", "APT::Sandbox::User=root", "-q"]
    return _run([command[0], *options, *command[1:]], cwd=cwd)


def _make_tree(place: Path, suite: str, packages: Sequence[str], backports: Sequence[str], progress: Progress) -> None:
    debootstrap = prerequisites.find("debootstrap")
    if debootstrap is None:
        raise LabError("Not installed: debootstrap.", "Run: apt-get install debootstrap")
    progress(f"fetch Debian {suite}")
    # In a mount namespace of its own: what it mounts goes with it, also when it is killed.
    _run(["unshare", "--mount", debootstrap, "--variant=minbase", suite, str(place), MIRROR])
    (place / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # no daemon starts here
    (place / "usr/sbin/policy-rc.d").chmod(0o755)
    # The packages come by apt and not by debootstrap's --include, whose order fails on polkitd.
    suites = f"{suite} {suite}-updates" + (f" {suite}-backports" if backports else "")
    lines = [f"deb {MIRROR} {one} main\n" for one in suites.split()]
    lines.append(f"deb {MIRROR}-security {suite}-security main\n")
    (place / "etc/apt/sources.list").write_text("".join(lines))
    shutil.copy("/etc/resolv.conf", place / "etc/resolv.conf")
    progress("fetch its packages")
    install = ["apt-get", "-q", "-y", "install", "--no-install-recommends"]
    _run_in(place, ["apt-get", "-q", "update"])
    if packages:
        _run_in(place, [*install, *packages])
    if backports:
        _run_in(place, [*install, "-t", f"{suite}-backports", *backports])
    _run_in(place, ["apt-get", "clean"])
    shutil.rmtree(place / "var/lib/apt/lists")
    (place / "usr/sbin/policy-rc.d").unlink()


def _run_in(tree: Path, command: list[str]) -> None:
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" env DEBIAN_FRONTEND=noninteractive "$@"'
    _run(["unshare", "--mount", "sh", "-c", script, str(tree), *command])


def _run(command: list[str], cwd: Path | None = None) -> str:
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip())[-2000:]
        raise LabError(f"{' '.join(command)} failed: {said}", "Run: apt-get update, then try again.")
    return result.stdout
