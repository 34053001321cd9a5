"""What makes an emulated machine quicker, or kinder to its neighbours, and changes nothing of what is tested on it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Without what a kernel does at its start for a machine used in earnest, what emulation makes dear, and the check of its
# timer, which fails where ten ticks do not come in time.
KERNEL_ARGUMENTS = "quiet mitigations=off random.trust_cpu=on cryptomgr.notests tsc=reliable clearcpuid=rep_good"
KERNEL_ARGUMENTS += " no_timer_check"
# Only of these kinds udev hears at the start what is there already: of consoles, sensors and processors, with all their
# modules, an emulated processor hears for seconds.
KINDS = ("block", "misc", "net", "pci", "virtio")
# Path -> text, of each machine.
FILES = {
    # networkd asks for Wi-Fi, whose modules take an emulated processor seconds.
    "/etc/modprobe.d/lab-emulation.conf": "install cfg80211 /bin/false\n",
    "/etc/systemd/system/systemd-udev-trigger.service.d/lab-emulation.conf": (
        "[Service]\nExecStart=\nExecStart=-udevadm trigger --type=devices --action=add "
        + " ".join(f"--subsystem-match={kind}" for kind in KINDS)
        + "\n"
    ),
}
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
