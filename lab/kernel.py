"""A Debian kernel, unpacked: its image, and its modules as entries of an initramfs."""

import gzip
import lzma
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import cache, initramfs, prerequisites

XZ = b"\xfd7zXZ\0"
# Fields of the boot header: https://docs.kernel.org/arch/x86/boot.html
SETUP_SECTORS, PAYLOAD = 0x1F1, 0x248


@dataclass(frozen=True)
class Kernel:
    """tree: of the unpacked package, after depmod: /boot and /lib/modules are in it."""

    tree: Path

    @property
    def version(self) -> str:
        """As `uname -r` prints it."""
        return next((self.tree / "lib/modules").iterdir()).name

    @property
    def image(self) -> Path:
        return self.tree / f"boot/vmlinuz-{self.version}"

    def unpacked(self) -> Path:
        """The same kernel as ELF, which QEMU starts by its PVH entry. To unpack itself takes it longer, on an emulated
        processor, than all that it does until its first program starts."""
        return cache.once(f"vmlinux-{self.version}", lambda place: _unpack(self.image, place))

    def module_entries(self, modules: Iterable[str]) -> Iterator[initramfs.Entry]:
        """These modules and all that they need, decompressed in /lib; /lib/modules lists them as insmod needs them."""
        files = self._module_files(modules)
        for path in files:
            yield initramfs.program(f"lib/{_name(path)}", _content(path))
        yield initramfs.program("lib/modules", "".join(f"{_name(path)}\n" for path in files).encode())

    def _module_files(self, modules: Iterable[str]) -> list[Path]:
        """Each once; what is built in has none."""
        files: dict[Path, None] = {}
        for module in modules:
            command: list[str | Path] = [prerequisites.find("modprobe") or "modprobe", "-d", self.tree]
            command += ["-S", self.version, "--show-depends", module]
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for line in shown.splitlines():
                kind, _, path = line.strip().partition(" ")
                if kind == "insmod":
                    files[Path(path.split()[0])] = None  # the module's options follow
        return list(files)


def _unpack(image: Path, place: Path) -> None:
    content = image.read_bytes()
    offset, length = struct.unpack_from("<II", content, PAYLOAD)
    start = (content[SETUP_SECTORS] + 1) * 512 + offset
    payload = content[start : start + length]
    # As Debian 12 packs it. Any other is left to unpack itself, as slow as that is.
    place.write_bytes(lzma.LZMADecompressor().decompress(payload) if payload.startswith(XZ) else content)


def _name(path: Path) -> str:
    return path.name.partition(".")[0] + ".ko"


def _content(path: Path) -> bytes:
    """Decompressed, whatever this Debian release compresses its modules with."""
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    return gzip.decompress(content) if path.suffix == ".gz" else content
