"""Who configures a link of the host at its start, and with which files: facts, read by the agent.

Passwords and keys in the files are masked before they leave the host.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from virtnet.fields import ForeignName
from virtnet.text import Text

Owner = Literal["ifupdown", "networkd", "netplan", "networkmanager"]
# Programs of the owners' own: each has its way to let another link go on with the same lease.
DhcpClient = Literal["dhclient", "networkd", "networkmanager"]

OWNERS: dict[Owner, str] = {
    "ifupdown": "ifupdown",
    "networkd": "systemd-networkd",
    "netplan": "netplan",
    "networkmanager": "NetworkManager",
}


class FileChange(BaseModel):
    """A file of the host's configuration. before, after: its whole text; None where there is no such file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: ForeignName
    before: str | None = None
    after: str | None = None


class ConfigurationFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: ForeignName
    text: Annotated[str, Field(max_length=100_000)]


class LinkConfiguration(BaseModel):
    """owner: None where nobody is known; `why` then says what was found.

    files: what the owner reads that may speak of this link, the file that decides first. permanent_mac: "" where the
    link has none. dhcp: the link's address is leased; client: by whom, None for a program that nobody knows here.
    client_id: of that lease, hexadecimal, "" where it is the MAC address. route_metric: that its routes have where no
    file says one; None where that does not depend on the link. also_names: the file by which udev would name a bridge
    over this link as it names the link, "" where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: ForeignName
    owner: Owner | None = None
    why: Text | None = None
    permanent_mac: str = ""
    dhcp: bool = False
    client: DhcpClient | None = None
    client_id: Annotated[str, Field(pattern=r"^[0-9a-f]*$", max_length=512)] = ""
    route_metric: int | None = None
    also_names: str = ""
    files: tuple[ConfigurationFile, ...] = ()

    def text(self, path: str) -> str | None:
        return next((file.text for file in self.files if file.path == path), None)


class Lasting(BaseModel):
    """A bridge that the panel wrote into the host's own configuration, and the files as they changed for it. uplink,
    second: their configuration before; None where an agent of another version tells it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bridge: ForeignName
    owner: Owner
    uplink: LinkConfiguration | None = None
    second: LinkConfiguration | None = None
    changes: tuple[FileChange, ...] = ()
