"""Who configures the links of this host at its start."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import ModuleType

from pyroute2 import IPRoute

from kvmagent.persist import ifupdown, link_files, netplan, networkd, networkmanager
from kvmagent.persist.owners import Link
from virtnet.configuration import OWNERS, LinkConfiguration, Owner
from virtnet.text import text

# In the order in which they are asked: netplan's files become networkd's, and ifupdown's may only be left over.
MODULES: dict[Owner, ModuleType] = {
    "netplan": netplan,
    "networkd": networkd,
    "networkmanager": networkmanager,
    "ifupdown": ifupdown,
}
SECRET = re.compile(r"(?im)^(\s*[\w.-]*(?:psk|password|passphrase|secret|private-key|wep-key)[\w.-]*\s*[:= ]\s*)\S.*$")


def read(link: str) -> LinkConfiguration:
    """Of one link, with the whole text of its files. A link that nobody configures and that has no address is the
    business of whoever configures the others. link: "" for a bridge without an uplink."""
    found = _link(link)
    for module in MODULES.values():
        configuration: LinkConfiguration | None = module.read(found) if link and module.is_here() else None
        if configuration is not None:
            return configuration.model_copy(update={"also_names": link_files.also_names(found.mac)})
    owner = next((name for name, module in MODULES.items() if module.is_here()), None)
    if owner is None:
        names = ", ".join(OWNERS.values())
        return LinkConfiguration(
            link=link, permanent_mac=found.permanent_mac, why=text("Of %(names)s none runs here.", names=names)
        )
    if _has_global_address(found.index):
        why = text(
            "The addresses of %(link)s are not in the configuration of %(owner)s: somebody or something else set them.",
            link=link,
            owner=OWNERS[owner],
        )
        return LinkConfiguration(link=link, permanent_mac=found.permanent_mac, why=why)
    without: LinkConfiguration = MODULES[owner].without(found)
    return without.model_copy(update={"also_names": link_files.also_names(found.mac)})


def read_masked(links: Iterable[str]) -> tuple[LinkConfiguration, ...]:
    """For the panel: without the passwords and keys that stand in the files."""
    return tuple(masked_configuration(read(link)) for link in links)


def masked(content: str | None) -> str | None:
    """A file's text without the passwords and keys in it."""
    return None if content is None else SECRET.sub(r"\1…", content)


def masked_configuration(configuration: LinkConfiguration) -> LinkConfiguration:
    files = tuple(file.model_copy(update={"text": masked(file.text)}) for file in configuration.files)
    return configuration.model_copy(update={"files": files})


def _link(name: str) -> Link:
    with IPRoute() as netlink:
        for index in netlink.link_lookup(ifname=name) if name else ():
            (message,) = netlink.get_links(index)
            mac = message.get_attr("IFLA_PERM_ADDRESS") or ""
            return Link(name, index, mac.lower(), message.get_attr("IFLA_ADDRESS") or "")
    return Link(name, 0, "")


def _has_global_address(index: int) -> bool:
    """A link-local one the kernel gives by itself."""
    with IPRoute() as netlink:
        return bool(index) and any(message["scope"] < 253 for message in netlink.get_addr(index=index))
