"""Keeps NetworkManager and networkd off the links of the VFs that the panel makes: they are for guests.

A udev rule marks each link whose PF is one of ours, whatever its name and MAC address, before anybody sees it; a file
for networkd matches the mark. Both lie below /run and are written again at each start of the host, before the VFs.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

RUN = Path("/run")
RULES = "udev/rules.d/84-kvmpanel-vfs.rules"  # before NetworkManager's 85-nm-unmanaged.rules
NETWORK = "systemd/network/00-kvmpanel-vfs.network"  # the first match counts
HEAD = "# Written by kvmagent: the links of VFs for guests, kept off the host's network.\n"


def write(pfs: Iterable[str]) -> None:
    """pfs: PCI addresses of the PFs whose VFs are ours; none takes the files away. Raises OSError.

    Nothing happens where there is no udev: nobody there manages links by themselves.
    """
    wanted = sorted({pci for pci in pfs if pci})
    if not (RUN / "udev").is_dir():
        return
    changed = [_put(RULES, rules(wanted)), _put(NETWORK, network() if wanted else "")]
    if changed[0]:
        _tell("udevadm", "control", "--reload")
    if changed[1]:
        _tell("networkctl", "reload")


def rules(pfs: Iterable[str]) -> str:
    """The text of the udev rules; "" for no PF."""
    lines = [
        # `physfn` leads from a VF to its PF.
        f'ACTION!="remove", SUBSYSTEM=="net", ATTR{{device/physfn/uevent}}=="*PCI_SLOT_NAME={pci}*", '
        'ENV{NM_UNMANAGED}="1", ENV{KVMPANEL_VF}="1"\n'
        for pci in pfs
    ]
    return HEAD + "".join(lines) if lines else ""


def network() -> str:
    """The text of networkd's file."""
    return f"{HEAD}[Match]\nProperty=KVMPANEL_VF=1\n\n[Link]\nUnmanaged=yes\n"


def _put(name: str, content: str) -> bool:
    """Returns whether the file is another than before."""
    path = RUN / name
    former = ""
    with contextlib.suppress(FileNotFoundError):
        former = path.read_text()
    if former == content:
        return False
    if content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)  # networkd reads it as a user of its own
    else:
        path.unlink()
    return True


def _tell(*command: str) -> None:
    """One that does not run reads the files when it starts."""
    if shutil.which(command[0]):
        subprocess.run(command, check=False, capture_output=True, timeout=30)
