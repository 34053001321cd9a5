"""Files of the host's configuration: written whole and at once, and put back as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    """In reverse, the others too where one cannot be. Of a file that somebody has changed since only what is ours goes.
    Raises OSError, which names each that is not as before."""

    def former(change: FileChange) -> str | None:
        now = read(change.path)
        if now is None or change.before is None or now == change.after:
            return change.before
        return without_marks(now, bridge)

    _put_each(changes, former)


def unwrite(changes: Iterable[FileChange]) -> None:
    """What `write` has just written, in reverse; the same of what cannot be. Raises OSError."""
    _put_each(changes, lambda change: change.before)


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


def _put_each(changes: Iterable[FileChange], former: Callable[[FileChange], str | None]) -> None:
    failed = []
    for change in reversed(list(changes)):
        try:
            _put(Path(change.path), former(change))
        except (OSError, UnicodeError) as error:
            failed.append(f"{change.path}: {getattr(error, 'strerror', None) or error}")
    if failed:
        raise OSError("; ".join(failed))


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
