"""The private mounts of a host: what it writes to /etc, /var, /run and sees in /sys is its own.

An overlay gives each host a writable /etc and /var on top of the machine's: an agent may write network configuration
there as on a real host. Directories of the machine's own libvirt and agent are hidden behind empty ones.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.processes import ProcessId, identify

OVERLAID = ("/etc", "/var")
EMPTY = (
    "/etc/kvmagent",
    "/etc/libvirt",
    "/etc/network/interfaces.d",
    "/var/cache/libvirt",
    "/var/lib/kvmagent",
    "/var/lib/libvirt",
    "/var/log/libvirt",
)
RUN_DIRECTORIES = ("kvmagent", "libvirt", "lock")
Enter = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def start_anchor(namespace: Path, hostname: str, environment: dict[str, str]) -> ProcessId:
    """Start the process that keeps a host's mount and UTS namespaces, and return it once both exist.

    Propagation is private: what is mounted here never shows up on the machine, and the other way round.
    """
    script = 'hostname "$1"; echo $$; exec sleep infinity >/dev/null 2>&1'
    command = ["nsenter", f"--net={namespace}", "--", "unshare", "--mount", "--uts", "--propagation", "private", "--"]
    started = subprocess.run(
        [*command, "setsid", "--fork", "sh", "-ec", script, "sh", hostname],  # forked: not a child that we must reap
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,  # ends when the anchor has closed its side, that is when all is done
        text=True,
        env=environment,
    )
    process = identify(int(started.stdout)) if started.stdout else None
    if process is None:
        raise LabError(
            f"No namespaces for {hostname}: {started.stderr.strip()}.",
            "Check that the kernel allows mount namespaces (unshare --mount true).",
        )
    return process


def fill(state_dir: Path, hostname: str, files: dict[str, str]) -> None:
    """Prepare the directories behind the mounts. files: absolute path on the host → text, under /etc."""
    for name in OVERLAID:
        (state_dir / "upper" / name[1:]).mkdir(parents=True)
        (state_dir / "work" / name[1:]).mkdir(parents=True)
    for name in EMPTY:
        (state_dir / "root" / name[1:]).mkdir(parents=True)
    for name in RUN_DIRECTORIES:
        (state_dir / "root/run" / name).mkdir(parents=True)
    for name, text in files.items():
        target = state_dir / "upper" / name[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def mount(state_dir: Path, enter: Enter) -> None:
    """Mount it all. enter: runs a command inside the host's namespaces and raises where it fails."""
    # A copy of another lab's namespace file here would keep that namespace alive after its take-down.
    enter(["sh", "-c", "for file in /run/netns/*; do umount -l $file 2>/dev/null; done; true"])
    own = state_dir / "root/run" / state_dir.relative_to("/run")
    enter(["mkdir", "-p", str(own)])
    enter(["mount", "--bind", str(state_dir), str(own)])
    enter(["mount", "--rbind", str(state_dir / "root/run"), "/run"])
    for name in OVERLAID:
        upper, work = state_dir / "upper" / name[1:], state_dir / "work" / name[1:]
        enter(["mount", "-t", "overlay", "-o", f"lowerdir={name},upperdir={upper},workdir={work}", "overlay", name])
    enter(["mkdir", "-p", *EMPTY])
    for name in EMPTY:
        enter(["mount", "--bind", str(state_dir / "root" / name[1:]), name])
    # A fresh sysfs shows this network namespace's links; it also hides the machine's cgroups from libvirtd.
    enter(["mount", "-t", "sysfs", "sysfs", "/sys"])
