"""Named network namespaces, as `ip netns` keeps them, each written into the lab's record before it is made."""

import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.state import State

DIRECTORY = Path("/run/netns")


def add(state: State, name: str) -> None:
    """`ip netns add NAME` and its loopback up. LabError when the name is taken by something else."""
    refuse_foreign(state, [name])
    state.namespaces[name] = 0
    state.save()
    subprocess.run(["ip", "netns", "add", name], check=True)
    state.namespaces[name] = path(name).stat().st_ino
    state.save()
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)


def delete(state: State, name: str) -> None:
    """`ip netns delete NAME` if it is still the one that the lab made; its links go with it."""
    if path(name).exists() and state.namespaces[name] in (0, path(name).stat().st_ino):
        subprocess.run(["ip", "netns", "delete", name], check=True)
    del state.namespaces[name]
    state.save()


def inodes(state: State) -> set[int]:
    """Inodes of the lab's namespaces that are still there; an inode alone may have been given out again."""
    return {inode for name, inode in state.namespaces.items() if _is_mounted(name, inode)} | {
        path(name).stat().st_ino for name, inode in state.namespaces.items() if inode == 0 and path(name).exists()
    }


def refuse_foreign(state: State, names: list[str]) -> None:
    """LabError when one of the names exists and this lab did not make it."""
    for name in names:
        if name not in state.namespaces and path(name).exists():
            raise LabError(
                f"A network namespace {name} exists that this lab did not make.",
                f"Remove it (ip netns delete {name}) or choose another --prefix.",
            )


def path(name: str) -> Path:
    return DIRECTORY / name


def _is_mounted(name: str, inode: int) -> bool:
    return path(name).exists() and path(name).stat().st_ino == inode
