"""What tells one Debian of the lab from another: its name, its MAC address, and who owns its network, as files."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface

from lab.host import UPLINK
from lab.lab import Lab
from lab.network_owners import UNITS, Card, Owner, files


def archive(
    lab: Lab, name: str, mac: str, owner: Owner, address: IPv4Interface | None, more: Mapping[str, str]
) -> bytes:
    """A tar that is laid over the tree before the first start. address: of its card, None for DHCP. more: path -> text
    of other files."""
    card = Card(UPLINK, address, lab.router.address, IPv4Address(lab.lan.address))
    texts = (
        files(owner, card)
        | dict(more)
        | {
            "etc/hostname": f"{name}\n",
            "etc/machine-id": hashlib.sha256(mac.encode()).hexdigest()[:32] + "\n",
            "etc/resolv.conf": f"nameserver {card.resolver}\n",
        }
    )
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path, text in texts.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o600 if "nmconnection" in path else 0o644
            if text.startswith("#!"):
                entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
        for unit in UNITS[owner]:
            entry = tarfile.TarInfo(f"etc/systemd/system/multi-user.target.wants/{unit}.service")
            entry.type, entry.linkname = tarfile.SYMTYPE, f"/lib/systemd/system/{unit}.service"
            tar.addfile(entry)
    return content.getvalue()
