"""libvirt's own files, on the disk before the agent says that a change is made.

libvirt syncs a document before it renames it into its place, but neither the name nor the link for its start: a power
cut within seconds would leave `lan.xml.new`, and no network (libvirt 9.0 on ext4).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from kvmagent.guard import sync_directory

DIRECTORIES = tuple(Path("/etc/libvirt/qemu") / name for name in ("", "autostart", "networks", "networks/autostart"))


def sync() -> None:
    """Returns when the names of all domains and networks, and their links for the start, are on the disk.

    Raises OSError where the disk fails; an agent without rights there has changed nothing there.
    """
    for directory in DIRECTORIES:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            sync_directory(directory)
