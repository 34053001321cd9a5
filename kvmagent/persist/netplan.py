"""netplan on this host: the files that it makes systemd-networkd's from, at each start and never in between by us.

`netplan apply` is never run: it takes links down. `netplan generate` writes what the next start would write.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from kvmagent.persist import networkd
from kvmagent.persist.owners import Link, OwnerFailed, ask, read_file
from virtnet.configuration import ConfigurationFile, LinkConfiguration
from virtnet.text import text

DIRECTORIES = ("lib/netplan", "etc/netplan", "run/netplan")
GENERATED = "/run/systemd/network/10-netplan-"


def is_here() -> bool:
    return shutil.which("netplan") is not None and bool(_files())


def read(link: Link) -> LinkConfiguration | None:
    """None where networkd configures it from no file of netplan's."""
    found = networkd.read(link)
    if found is None or not found.files[:1] or not found.files[0].path.startswith(GENERATED):
        return None
    return found.model_copy(update={"owner": "netplan", "files": tuple(_files())})


def without(link: Link) -> LinkConfiguration:
    return LinkConfiguration(link=link.name, owner="netplan", permanent_mac=link.permanent_mac, files=tuple(_files()))


def check(bridge: str) -> None:
    """That netplan reads all files, and makes the bridge from them. Raises OwnerFailed."""
    with tempfile.TemporaryDirectory(prefix="kvmagent-netplan-") as name:
        root = Path(name)
        for directory in DIRECTORIES:
            if (Path("/") / directory).is_dir():
                shutil.copytree(Path("/") / directory, root / directory)
        ask(["netplan", "generate", "--root-dir", name])
        if not (root / f"run/systemd/network/10-netplan-{bridge}.netdev").exists():
            raise OwnerFailed(text("netplan makes no bridge %(bridge)s from its files.", bridge=bridge))


def hand_over(bridge: str, uplink: LinkConfiguration) -> None:
    ask(["netplan", "generate"])
    networkd.hand_over(bridge, uplink, f"10-netplan-{bridge}.network")


def take_back(bridge: str, uplink: LinkConfiguration) -> None:
    ask(["netplan", "generate"])
    networkd.take_back(bridge, uplink, f"10-netplan-{uplink.link}.network")


def network_of(bridge: str, called: str) -> str:
    """Of a port of ours: the name of the .network that netplan makes."""
    return f"{Path(GENERATED).name}kvmpanel-{bridge}{called.removeprefix('port')}.network"


def _files() -> list[ConfigurationFile]:
    """In netplan's order: by name, and a file of /run wins over one of the same name in /etc, that over /lib."""
    paths = {path.name: path for directory in DIRECTORIES for path in (Path("/") / directory).glob("*.yaml")}
    found = (read_file(paths[name]) for name in sorted(paths))
    return [file for file in found if file is not None]
