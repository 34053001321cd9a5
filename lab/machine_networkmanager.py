"""A real NetworkManager in the SR-IOV machine, beside its networkd: it takes whatever link nobody keeps it off.

It comes from the disk machines' Debian, for this machine's own files have none, and starts with the machine.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from lab import disk_image
from lab.host import FREE_UPLINK, UPLINK
from lab.sriov_machine import SriovMachine

UNIT = "lab-networkmanager.service"
POLICY = "share/dbus-1/system.d/org.freedesktop.NetworkManager.conf"
CONFIGURATION = "/etc/lab-networkmanager.conf"
FILES = {
    # networkd has the machine's own two links. Without `no-auto-default` any other gets a connection by DHCP.
    CONFIGURATION: f"[main]\nplugins=keyfile\n\n[keyfile]\nunmanaged-devices={UPLINK},{FREE_UPLINK}\n",
    f"/etc/systemd/system/{UNIT}": f"""\
[Unit]
After=dbus.service network-pre.target

[Service]
Type=dbus
BusName=org.freedesktop.NetworkManager
TimeoutStartSec=600
RootDirectory=@TREE@
MountAPIVFS=yes
BindPaths=/run/dbus /run/udev
BindReadOnlyPaths={CONFIGURATION}:/etc/NetworkManager/NetworkManager.conf
ExecStart=/usr/sbin/NetworkManager --no-daemon

[Install]
WantedBy=multi-user.target
""",
}


@dataclass
class MachineNetworkManager:
    machine: SriovMachine

    def start(self) -> None:
        """Returns when it answers; from then on it starts with the machine."""
        tree = disk_image.tree(lambda _: None)
        policy = (tree / "usr" / POLICY).read_text()
        for path, text in {**FILES, f"/etc/{POLICY.removeprefix('share/')}": policy}.items():
            self.machine.run(["tee", path], input=text.replace("@TREE@", str(tree)))
        self.machine.run(["systemctl", "reload", "dbus"], timeout=600)
        self.machine.run(["systemctl", "daemon-reload"], timeout=600)
        self.machine.run(["systemctl", "enable", "--now", UNIT], timeout=600)

    def states(self) -> dict[str, str]:
        """Each link with what it makes of it: unmanaged, disconnected, connected …"""
        said = self._nmcli("--terse", "--fields=DEVICE,STATE", "device").stdout
        return dict(line.split(":", 1) for line in said.splitlines())

    def _nmcli(self, *words: str) -> subprocess.CompletedProcess[str]:
        shown = self.machine.run(["systemctl", "show", "--value", "--property=MainPID", UNIT])
        within = ["nsenter", f"--target={shown.stdout.strip()}", "--mount", "--root", "--wd", "--"]
        return self.machine.run([*within, "env", "LC_ALL=C", "nmcli", *words])
