"""What makes a bridge survive the host's start: the files of whoever owns the host's network, before and after.

The panel's forecast and the agent both take the files from here. Nothing in here reads or writes one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from virtnet.configuration import OWNERS, FileChange, LinkConfiguration, Owner
from virtnet.facts import HostFacts
from virtnet.persist import ifupdown, netplan, networkd, networkmanager
from virtnet.persist.lasting import CannotLast, LastingBridge
from virtnet.spec import Problem
from virtnet.text import Text, gettext_noop, text

__all__ = [
    "OWNERS",
    "CannotLast",
    "LastingBridge",
    "Lasts",
    "file_changes",
    "files_after",
    "files_back",
    "is_due",
    "problems",
]

Lasts = Annotated[
    bool,
    Field(
        title=gettext_noop("Survives a restart of the host"),
        description=gettext_noop(
            "Writes a bridge that the panel makes into the host's own configuration. Otherwise it lasts until the "
            "host's next start."
        ),
    ),
]

WRITERS = {
    "ifupdown": ifupdown.file_changes,
    "networkd": networkd.file_changes,
    "netplan": netplan.file_changes,
    "networkmanager": networkmanager.file_changes,
}


def file_changes(
    owner: Owner,
    bridge: LastingBridge,
    configuration: LinkConfiguration,
    second: LinkConfiguration | None = None,
) -> list[FileChange]:
    """The files to write, in order. configuration, second: the uplinks', before any of it is written. Raises
    CannotLast."""
    if configuration.dhcp and configuration.client is None:
        raise CannotLast(
            text(
                "%(link)s has its address from a DHCP client that the panel cannot hand over.", link=configuration.link
            )
        )
    if second is not None and second.owner != owner:
        raise CannotLast(_not_both(configuration, second))
    if second is not None and second.dhcp:
        raise CannotLast(
            text("%(link)s is configured to ask DHCP for an address: take that out first.", link=second.link)
        )
    return WRITERS[owner](bridge, configuration, second)


def files_after(
    facts: HostFacts, bridge: str, uplink: str | None, second: str | None = None, forward_delay: int = 0
) -> list[FileChange]:
    """What persist_bridge would change on this host. Raises CannotLast."""
    configuration = facts.configuration(uplink)
    if configuration is None or configuration.owner is None:
        raise CannotLast(_nobody(configuration, uplink))
    beside = facts.configuration(second) if second is not None else None
    if second is not None and beside is None:
        raise CannotLast(_nobody(None, second))
    link = facts.link(uplink) if uplink is not None else None
    wanted = LastingBridge(
        name=bridge,
        uplink=uplink,
        mac=link.mac if link else None,
        mtu=link.mtu if link else None,
        permanent_mac=configuration.permanent_mac or None,
        second=second,
        second_permanent_mac=(beside.permanent_mac or None) if beside is not None else None,
        forward_delay=forward_delay,
    )
    return file_changes(configuration.owner, wanted, configuration, beside)


def files_back(facts: HostFacts, bridge: str) -> list[FileChange]:
    """What forget_bridge would change on this host, in order."""
    lasting = facts.lasting_bridge(bridge)
    changes = lasting.changes if lasting is not None else ()
    return [FileChange(path=one.path, before=one.after, after=one.before) for one in reversed(changes)]


def is_due(facts: HostFacts, bridge: str) -> bool:
    """Whether a bridge would be written: not one that is written already, nor one that others made."""
    found = facts.link(bridge)
    return facts.lasting_bridge(bridge) is None and (found is None or found.made_for is not None)


def problems(
    facts: HostFacts, bridge: str, uplink: str | None, second: str | None = None, *, forward_delay: int = 0, lasts: bool
) -> list[Problem]:
    """What stands in the way of a bridge that lasts, or of one that does not."""
    if not lasts and facts.lasting_bridge(bridge) is not None:
        sentence = text("%(bridge)s is in the host's own configuration already.", bridge=bridge)
        fix = text("Let it survive a restart, or undefine the network first.")
        return [Problem(text=sentence, fix=fix, field="lasts")]
    if not lasts or not is_due(facts, bridge):
        return []
    try:
        files_after(facts, bridge, uplink, second, forward_delay)
    except CannotLast as error:
        fix = text("Let the bridge last until the host's next start, or change the host's configuration first.")
        return [Problem(text=error.text, fix=fix, field="lasts")]
    return []


def _nobody(configuration: LinkConfiguration | None, uplink: str | None) -> Text:
    if configuration is not None and configuration.why is not None:
        return configuration.why
    return text("The host's agent does not say who configures %(link)s.", link=uplink or "its network")


def _not_both(configuration: LinkConfiguration, second: LinkConfiguration) -> Text:
    if second.owner is None:
        return _nobody(second, second.link)
    return text(
        "%(second)s is configured by %(other)s, %(link)s is not: one of them must have both.",
        second=second.link,
        other=OWNERS[second.owner],
        link=configuration.link,
    )
