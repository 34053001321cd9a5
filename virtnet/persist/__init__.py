"""What makes a bridge survive the host's start: the files of whoever owns the host's network, before and after.

The panel's forecast and the agent both take the files from here. Nothing in here reads or writes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from virtnet import bridges
from virtnet.bridges import Wiring
from virtnet.configuration import OWNERS, ConfigurationFile, FileChange, Lasting, LinkConfiguration, Owner
from virtnet.facts import HostFacts
from virtnet.persist import ifupdown, netplan, networkd, networkmanager
from virtnet.persist.lasting import CannotLast, LastingBridge
from virtnet.persist.marked import marked, without_marks
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import Text, gettext_noop, text

__all__ = [
    "OWNERS",
    "CannotLast",
    "LastingBridge",
    "Lasts",
    "due",
    "edits",
    "file_changes",
    "files_back",
    "problems",
    "rewritten",
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

IN_PLACE = ("ifupdown", "netplan")  # these comment out what others have written; the others have files of ours alone

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
    if configuration.also_names and bridge.uplink is not None:
        raise CannotLast(
            text(
                "%(path)s names every link with the MAC address of %(link)s, so at the next start the bridge too. Add "
                "Type=ether to its [Match].",
                path=configuration.also_names,
                link=configuration.link,
            )
        )
    if second is not None and second.owner != owner:
        raise CannotLast(_not_both(configuration, second))
    if second is not None and second.dhcp:
        raise CannotLast(
            text("%(link)s is configured to ask DHCP for an address: take that out first.", link=second.link)
        )
    return WRITERS[owner](bridge, configuration, second)


def due(facts: HostFacts, network: NetworkRef, wanted: Wiring) -> tuple[Owner, list[FileChange]]:
    """What persist_bridge would change on this host, and whose files these are; [] for a bridge that is written as it
    is to be, and for one that others made. Raises CannotLast."""
    written, found = facts.lasting_bridge(wanted.bridge), facts.link(wanted.bridge)
    if written is None and (found is None or found.made_for is not None):
        configuration = facts.configuration(wanted.uplink)
        if configuration is None or configuration.owner is None:
            raise CannotLast(_nobody(configuration, wanted.uplink))
        second = _second(facts, wanted)
        lasting = _lasting(facts, wanted, configuration, second)
        return configuration.owner, file_changes(configuration.owner, lasting, configuration, second)
    if written is None or found is None or found.made_for != network.uuid:
        return "ifupdown", []
    if written.uplink is None:
        if bridges.is_changed(facts, network, wanted):
            raise CannotLast(_nobody(None, wanted.uplink))
        return written.owner, []
    now = {change.path: change.after or "" for change in written.changes}
    second = _second(facts, wanted) if written.second is None or written.second.link != wanted.second else None
    lasting = _lasting(facts, wanted, written.uplink, second or written.second)
    return written.owner, edits(written.changes, rewritten(lasting, written, second, now), now, wanted.bridge)


def rewritten(
    bridge: LastingBridge, written: Lasting, second: LinkConfiguration | None, now: Mapping[str, str]
) -> list[FileChange]:
    """The files of a bridge that is written already, as if it were now written for the first time. second: of an uplink
    that it has not been written with. now: path -> text, of its files. Raises CannotLast."""
    uplink, joins = written.uplink or LinkConfiguration(link=""), second
    if bridge.second is not None and second is None:
        second = written.second
    texts = {file.path: file.text for file in uplink.files}
    if written.owner in IN_PLACE:  # what others have written there since stays
        texts |= {file.path: file.text for file in (joins.files if joins is not None else ())}
        texts |= now
    ours = {change.path for change in written.changes if change.before is None}
    files = [
        ConfigurationFile(path=path, text=without_marks(content, bridge.name))
        for path, content in texts.items()
        if path not in ours
    ]
    return file_changes(written.owner, bridge, uplink.model_copy(update={"files": tuple(files)}), second)


def edits(
    former: Iterable[FileChange], changes: Iterable[FileChange], now: Mapping[str, str], bridge: str
) -> list[FileChange]:
    """What is to be written where `former` is, so that `changes` are. now: path -> text, of the former's files."""
    wanted = {change.path: change for change in changes}
    found = [
        FileChange(path=path, before=now.get(path, one.before), after=one.after)
        for path, one in wanted.items()
        if one.before is None or marked(now.get(path, ""), bridge) != marked(one.after or "", bridge)
    ]
    for one in former:
        if one.path not in wanted:
            back = without_marks(now.get(one.path, ""), bridge) if one.before is not None else None
            found.append(FileChange(path=one.path, before=now.get(one.path), after=back))
    return [one for one in found if one.before != one.after]


def files_back(facts: HostFacts, bridge: str) -> list[FileChange]:
    """What forget_bridge would change on this host, in order."""
    lasting = facts.lasting_bridge(bridge)
    changes = lasting.changes if lasting is not None else ()
    return [FileChange(path=one.path, before=one.after, after=one.before) for one in reversed(changes)]


def problems(facts: HostFacts, network: NetworkRef, wanted: Wiring, *, lasts: bool) -> list[Problem]:
    """What stands in the way of a bridge that lasts, or of one that does not."""
    is_written = facts.lasting_bridge(wanted.bridge) is not None
    if not lasts and is_written:
        sentence = text("%(bridge)s is in the host's own configuration already.", bridge=wanted.bridge)
        fix = text("Let it survive a restart, or undefine the network first.")
        return [Problem(text=sentence, fix=fix, field="lasts")]
    if not lasts:
        return []
    try:
        due(facts, network, wanted)
    except CannotLast as error:
        fix = text("Let the bridge last until the host's next start, or change the host's configuration first.")
        if is_written:
            fix = text("Change the host's configuration first.")
        return [Problem(text=error.text, fix=fix, field="lasts")]
    return []


def _second(facts: HostFacts, wanted: Wiring) -> LinkConfiguration | None:
    """Raises CannotLast."""
    found = facts.configuration(wanted.second) if wanted.second is not None else None
    if wanted.second is not None and found is None:
        raise CannotLast(_nobody(None, wanted.second))
    return found


def _lasting(
    facts: HostFacts, wanted: Wiring, configuration: LinkConfiguration, second: LinkConfiguration | None
) -> LastingBridge:
    link = facts.link(wanted.uplink) if wanted.uplink is not None else None
    found = facts.link(wanted.bridge)
    return LastingBridge(
        name=wanted.bridge,
        uplink=wanted.uplink,
        mac=link.mac if link else None,
        mtu=wanted.mtu or (link.mtu if link else None),
        sets_mtu=wanted.mtu is not None or bool(found is not None and found.made_with_mtus),
        permanent_mac=configuration.permanent_mac or None,
        second=wanted.second,
        second_permanent_mac=(second.permanent_mac or None) if wanted.second is not None and second else None,
        forward_delay=wanted.forward_delay,
    )


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
