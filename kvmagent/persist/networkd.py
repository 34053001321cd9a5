"""systemd-networkd on this host: which file configures a link, and how a bridge takes the link's place.

The link's state file under /run is what `networkctl` itself reads.
"""

from __future__ import annotations

from pathlib import Path

from kvmagent.persist import files
from kvmagent.persist.owners import Link, ask, read_file
from virtnet.configuration import ConfigurationFile, DhcpClient, FileChange, LinkConfiguration
from virtnet.persist.networkd import FIRST
from virtnet.text import text

UNIT = Path("/run/systemd/units/invocation:systemd-networkd.service")  # there while it runs
RUN = Path("/run/systemd/netif")
RUNTIME = Path("/run/systemd/network")
FREE, KEPT = "kvmpanel-free.conf", "kvmpanel-keep.conf"
OURS = {FREE, KEPT}
# Else networkd takes the addresses off a link whose file has changed before it puts them on again.
KEEP = "[Network]\nKeepConfiguration=yes\n"


def is_here() -> bool:
    return UNIT.is_symlink()


def read(link: Link) -> LinkConfiguration | None:
    """None where networkd leaves the link alone."""
    state = _variables(RUN / "links" / str(link.index))
    path = state.get("NETWORK_FILE", "")
    if not is_here() or not path or state.get("ADMIN_STATE") == "unmanaged":
        return None
    # Without those of ours, which are networkd's until the next start only.
    drop_ins = state.get("NETWORK_FILE_DROPINS", "").split()
    paths = [path, *(one for one in drop_ins if Path(one).name not in OURS)]
    found = [file for path in paths if (file := read_file(Path(path))) is not None]
    if not found:
        why = text(
            "systemd-networkd goes by a file for %(link)s that has gone: %(path)s. Restart it: systemctl restart "
            "systemd-networkd",
            link=link.name,
            path=path,
        )
        return LinkConfiguration(link=link.name, permanent_mac=link.permanent_mac, why=why)
    dhcp = any(_asks_dhcp(file) for file in found)
    lease = _variables(RUN / "leases" / str(link.index))
    client: DhcpClient | None = "networkd" if dhcp else None
    client_id = lease.get("CLIENTID", "").lower()
    return LinkConfiguration(
        link=link.name,
        owner="networkd",
        permanent_mac=link.permanent_mac,
        dhcp=dhcp,
        client=client,
        client_id=client_id if client_id.startswith("ff") else "",
        files=tuple(found),
    )


def without(link: Link) -> LinkConfiguration:
    """Of a link that no .network matches."""
    return LinkConfiguration(link=link.name, owner="networkd", permanent_mac=link.permanent_mac)


def check(bridge: str) -> None:
    """networkd itself has no way to read a file without acting on it."""


def hand_over(bridge: str, uplink: LinkConfiguration, name: str = "") -> None:
    """networkd takes the links as they are. name: of the bridge's .network where it is not ours. Raises OwnerFailed,
    OSError."""
    _reload(name or f"{FIRST}{bridge}.network")


def take_back(bridge: str, uplink: LinkConfiguration, name: str = "") -> None:
    """After the files have gone. name: of the uplink's .network where it is not among its files. Raises OwnerFailed,
    OSError."""
    names = [name] if name else [Path(file.path).name for file in uplink.files if file.path.endswith(".network")]
    _forget_free()
    _reload(*names[:1])


def network_of(bridge: str, called: str) -> str:
    """Of a port of ours: the name of its .network."""
    return f"{FIRST}{bridge}-{called}.network"


def let_go(names: list[str]) -> None:
    """Until `hold`, or the next start, networkd leaves the ports with these .network files alone: else it would have a
    port join again as soon as it has left its bridge. Raises OwnerFailed, OSError."""
    # By the files' names: in the links' own files networkd says only some moments later which it has taken.
    files.write(FileChange(path=f"{RUNTIME}/{name}.d/{FREE}", after="[Link]\nUnmanaged=yes\n") for name in names)
    if names:
        ask(["networkctl", "reload"])


def hold() -> bool:
    """What was let go is networkd's again; whether there was any. Raises OwnerFailed, OSError."""
    gone = _forget_free()
    if gone:
        ask(["networkctl", "reload"])
    return gone


def _forget_free() -> bool:
    gone = list(RUNTIME.glob(f"*.network.d/{FREE}"))
    files.write(FileChange(path=str(path)) for path in gone)
    return bool(gone)


def _reload(*names: str) -> None:
    """names: of the .network files that get a drop-in until the next start."""
    files.write(FileChange(path=f"{RUNTIME}/{name}.d/{KEPT}", after=KEEP) for name in names)
    ask(["networkctl", "reload"])


def _asks_dhcp(file: ConfigurationFile) -> bool:
    for line in file.text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "DHCP" and value.strip().lower() in {"yes", "true", "on", "1", "both", "ipv4", "v4"}:
            return True
    return False


def _variables(path: Path) -> dict[str, str]:
    """KEY=value lines; empty where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, found, value in (line.partition("=") for line in lines) if found}
