"""A gzipped initramfs in the kernel's `newc` format, written without a tree of files to copy it from.

https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

import gzip
import stat
from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """One file or directory of the archive. mode: type and permission bits as in stat(2)."""

    path: str
    mode: int
    content: bytes = b""


def directory(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def program(path: str, content: bytes) -> Entry:
    return Entry(path, stat.S_IFREG | 0o755, content)


def archive(entries: Iterable[Entry]) -> bytes:
    """The whole archive. Each directory must come before what is in it."""
    parts = [_newc(number, entry) for number, entry in enumerate(entries, start=1)]
    parts.append(_newc(0, Entry("TRAILER!!!", 0)))
    return gzip.compress(b"".join(parts), compresslevel=6, mtime=0)


def _newc(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # c_ino c_mode c_uid c_gid c_nlink c_mtime c_filesize c_maj c_min c_rmaj c_rmin c_namesize c_chksum
    numbers = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + "".join(f"{number:08X}" for number in numbers).encode()
    return _padded(header + name) + _padded(entry.content)


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)
