"""What is fetched or built once and kept: `$XDG_CACHE_HOME/kvmpanel-lab`, else `~/.cache/kvmpanel-lab`.

Each thing is made beside its place and renamed into it, so a builder that was killed leaves no half of it. Delete the
directory to get newer Debian packages.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kvmpanel-lab"


def once(name: str, make: Callable[[Path], None], progress: Callable[[str], None] = lambda _: None) -> Path:
    """The file or directory of this name, made where it is not there: `make` is given the path at which to make it,
    in a directory of its own. The second builder of the same thing waits for the first, then finds its work done."""
    cache = directory()
    cache.mkdir(parents=True, exist_ok=True)
    wanted, work = cache / name, cache / f"part-{name}"
    with (cache / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"wait for another lab that makes {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        if not wanted.exists():
            if work.exists():  # of a killed builder: this one holds the lock
                shutil.rmtree(work)
            work.mkdir()
            make(work / name)
            (work / name).rename(wanted)
            shutil.rmtree(work)
    return wanted
