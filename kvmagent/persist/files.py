"""Files of the host's configuration: written whole and at once, and put back as they were."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kvmagent.guard import sync_directory, write_whole
from virtnet.configuration import FileChange
from virtnet.persist.marked import without_marks

# NetworkManager and netplan refuse or warn of what others may read: passwords stand in such files.
NEW_MODE = 0o600
READABLE = ("/etc/systemd/", "/run/systemd/", "/etc/network/", "/etc/sysctl.d/")  # networkd reads as a user of its own


def write(changes: Iterable[FileChange]) -> None:
    """Each in one step; one that is so already is left alone. Raises OSError."""
    for change in changes:
        _put(Path(change.path), change.after)


def put_back(changes: Iterable[FileChange], bridge: str) -> None:
    """In reverse. Of a file that somebody has changed since only what is ours goes. Raises OSError."""
    for change in reversed(list(changes)):
        path = Path(change.path)
        now = read(path)
        if now is None or change.before is None or now == change.after:
            _put(path, change.before)
        else:
            _put(path, without_marks(now, bridge))


def is_so(change: FileChange, bridge: str) -> bool:
    """Whether what is ours is in the file; others may have changed the rest of it since. Raises OSError."""
    now = read(change.path)
    if now == change.after:
        return True
    return now is not None and change.before is not None and without_marks(now, bridge) != now


def read(path: str | Path) -> str | None:
    """None where it is not there. Raises OSError."""
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return None


def _put(path: Path, content: str | None) -> None:
    if read(path) == content:
        return
    if content is None:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
        if path.parent.name.endswith((".network.d", ".service.d")) and not any(path.parent.iterdir()):
            path.parent.rmdir()  # made for our drop-in
        return
    _make_directory(path.parent)
    mode = path.stat().st_mode & 0o7777 if path.exists() else _new_mode(path)
    write_whole(path, content.encode(), mode)


def _make_directory(path: Path) -> None:
    """Also what is above it. The agent's umask would hide it from the owner."""
    for missing in reversed([one for one in (path, *path.parents) if not one.exists()]):
        missing.mkdir()
        missing.chmod(0o755)


def _new_mode(path: Path) -> int:
    return 0o644 if str(path).startswith(READABLE) else NEW_MODE
