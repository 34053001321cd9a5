"""Links in macvtap passthrough, on which the host keeps silent.

The kernel hands broadcasts that come in on such a link to the host too, and the host answers ARP on every link for
all of its addresses (arp_ignore 0). The LAN would then learn the guest's MAC address for the host's IP address, and
the guest would get what is sent to the host. See https://docs.kernel.org/networking/ip-sysctl.html (arp_ignore).
A file in /etc/sysctl.d keeps it so after a restart: udev gives it to systemd-sysctl for each link that appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kvmagent.persist import files
from virtnet import direct
from virtnet.configuration import FileChange

SYSCTL_D = Path("/etc/sysctl.d")
SYSCTL = Path("/proc/sys")
NEVER = "8"  # arp_ignore: answer for no address
_BEFORE = re.compile(r"^# before: arp_ignore=(\S*) disable_ipv6=(\S*)$", re.MULTILINE)


def is_silent(link: str) -> bool:
    """Now and after the host's next start."""
    return _file(link).exists() and _now(link)[0] == NEVER and _now(link)[1] in {"1", ""}


def silence(link: str) -> None:
    """Raises OSError."""
    if not _file(link).exists():
        _write(link, direct.silence(link, *_now(link)))
    _set(link, NEVER, "1")


def let_speak(link: str) -> None:
    """As it was before `silence`. Raises OSError."""
    before = _BEFORE.search(_file(link).read_text()) if _file(link).exists() else None
    if before is not None:
        _set(link, *before.groups())
    _write(link, None)


def silent_links() -> Iterator[str]:
    """Those that we have silenced, also ones that are gone from the host."""
    for path in sorted(SYSCTL_D.glob("90-kvmpanel-*.conf")):
        yield path.name.removeprefix("90-kvmpanel-").removesuffix(".conf")


def _file(link: str) -> Path:
    return SYSCTL_D / f"90-kvmpanel-{link}.conf"


def _write(link: str, content: str | None) -> None:
    files.write([FileChange(path=str(_file(link)), after=content)])


def _switches(link: str) -> tuple[Path, Path]:
    return SYSCTL / "net/ipv4/conf" / link / "arp_ignore", SYSCTL / "net/ipv6/conf" / link / "disable_ipv6"


def _now(link: str) -> tuple[str, str]:
    """arp_ignore and disable_ipv6; "" where the link or the kernel's IPv6 is not there."""
    arp, ipv6 = (path.read_text().strip() if path.exists() else "" for path in _switches(link))
    return arp, ipv6


def _set(link: str, arp_ignore: str, disable_ipv6: str) -> None:
    for path, value in zip(_switches(link), (arp_ignore, disable_ipv6), strict=True):
        if value and path.exists() and path.read_text().strip() != value:
            path.write_text(value)
