"""What makes an emulated machine quicker, or kinder to its neighbours, and changes nothing of what is tested on it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# It takes all that it can get, and who waits for it has time: what runs beside it goes first.
NICE = ("nice", "-n", "5")
# What nothing here needs and what takes an emulated processor seconds to start.
MASKED = (
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "getty.target",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-sysusers.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
)


def compile_agent() -> None:
    """The agent's own files to byte code, which an emulated processor would take seconds for at each start."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "kvmagent", "virtnet"], cwd=ROOT, check=False)
