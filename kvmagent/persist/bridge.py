"""A bridge written into the host's own configuration, checked, handed over, and taken out again.

What was there before is kept in the agent's state directory, a file for each bridge, written before the first change:
whatever is killed when, the next try knows what to finish or to put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kvmagent import links, settings
from kvmagent.bridge_mark import Mark
from kvmagent.persist import configuration, files, networkd, networkmanager
from kvmagent.persist.configuration import MODULES, masked, masked_configuration
from kvmagent.persist.owners import OwnerFailed
from virtnet.configuration import FileChange, Lasting, LinkConfiguration, Owner
from virtnet.persist import CannotLast, LastingBridge, edits, file_changes, rewritten
from virtnet.persist.lasting import SECOND
from virtnet.text import text

OF_NETWORKD = ("networkd", "netplan")


class Record(BaseModel):
    """mark: the bridge's alias, which the kernel forgets at the reboot. uplink, second: their configuration before.
    order: for which it was written, "" where an earlier agent did; only that order's own undo takes it out again.
    former: as an earlier order had written it, to which that undo goes back; edits: the files from that to this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bridge: str
    mark: str
    owner: Owner
    uplink: LinkConfiguration
    second: LinkConfiguration | None = None
    changes: tuple[FileChange, ...]
    order: str = ""
    former: Record | None = None
    edits: tuple[FileChange, ...] = ()


def directory() -> Path:
    return settings.state() / "bridges"


def record_of(bridge: str) -> Record | None:
    """None where the bridge is not written anywhere, or what was kept cannot be read. Its cards by the names that they
    have now: one is found again by its permanent MAC address, and may have got another name at the host's start."""
    try:
        record = Record.model_validate_json(_file(bridge).read_text())
    except (FileNotFoundError, ValidationError):
        return None
    cards = [one for one in (record.uplink, record.second) if one is not None and one.permanent_mac]
    now = links.by_permanent_mac() if cards else {}
    names = {card.link: now.get(card.permanent_mac, card.link) for card in cards}
    return record if all(one == name for one, name in names.items()) else _renamed(record, names)


def records() -> list[Record]:
    """Of all bridges that are written, by name."""
    found = (record_of(path.stem) for path in sorted(directory().glob("*.json")))
    return [record for record in found if record is not None]


def read_all() -> tuple[Lasting, ...]:
    """All bridges that are written, by name, without the passwords and keys in the files."""
    return tuple(
        Lasting(
            bridge=record.bridge,
            owner=record.owner,
            uplink=masked_configuration(record.uplink),
            second=masked_configuration(record.second) if record.second is not None else None,
            changes=tuple(
                FileChange(path=one.path, before=masked(one.before), after=masked(one.after)) for one in record.changes
            ),
        )
        for record in records()
    )


def mark_of(bridge: str) -> Mark | None:
    """Of a bridge that the host's own configuration made at its start."""
    record = record_of(bridge)
    return Mark.read(record.mark) if record is not None else None


def prepare(bridge: LastingBridge, mark: Mark, order: str) -> Record:
    """What is to be written, kept before any of it is. Raises CannotLast, OwnerFailed, OSError."""
    found = configuration.read(bridge.uplink or "")
    owner = found.owner
    if owner is None:
        raise CannotLast(found.why or text("Nobody is known to configure %(link)s.", link=found.link))
    if owner == "networkmanager" and (metric := networkmanager.metric_on(bridge.name)) is not None:
        found = found.model_copy(update={"route_metric": metric})  # the routes have moved already
    second = configuration.read(bridge.second) if bridge.second is not None else None
    changes = tuple(file_changes(owner, bridge, found, second))
    record = Record(
        bridge=bridge.name,
        mark=mark.alias(),
        owner=owner,
        uplink=found,
        second=second,
        changes=changes,
        order=order,
    )
    keep(record)
    return record


def prepare_change(record: Record, bridge: LastingBridge, mark: Mark, order: str) -> Record:
    """The same of a bridge that is written, and may be another now; it is not kept yet. Raises CannotLast, OSError."""
    now = {one.path: found for one in record.changes if (found := files.read(one.path)) is not None}
    is_new = bridge.second is not None and (record.second is None or record.second.link != bridge.second)
    second = configuration.read(bridge.second or "") if is_new else None
    written = Lasting(
        bridge=record.bridge, owner=record.owner, uplink=record.uplink, second=record.second, changes=record.changes
    )
    changes = tuple(rewritten(bridge, written, second, now))
    return Record(
        bridge=record.bridge,
        mark=mark.alias(),
        owner=record.owner,
        uplink=record.uplink,
        second=second or (record.second if bridge.second is not None else None),
        changes=changes,
        order=order,
        former=settled(record),
        edits=tuple(edits(record.changes, changes, now, record.bridge)),
    )


def settled(record: Record) -> Record:
    """As it is once nobody may want its former one back."""
    return record.model_copy(update={"former": None, "edits": ()})


def stands(record: Record) -> bool:
    """Whether all of it is in the files, whatever others have written there since."""
    return all(files.is_so(change, record.bridge) for change in record.changes)


def write(record: Record) -> None:
    """Write the files and have the owner check them; on failure they are as before. Raises OwnerFailed, OSError."""
    try:
        files.write(record.edits or record.changes)
        MODULES[record.owner].check(record.bridge)
    except (OwnerFailed, OSError):
        revert(record)
        forget(record)
        raise


def hand_over(record: Record) -> None:
    """The owner knows of it now, not only at the next start. Raises OwnerFailed."""
    if record.former is not None and record.owner == "networkmanager":
        networkmanager.take_second(record.bridge, _second(record.former), _second(record))
        return
    MODULES[record.owner].hand_over(record.bridge, record.uplink)
    if record.owner in OF_NETWORKD:
        networkd.hold()


def revert(record: Record) -> None:
    """The files as they were before this order. Raises OSError."""
    if record.former is None:
        put_back(record)
    else:
        files.unwrite(record.edits)


def let_joined_go(record: Record) -> None:
    """Before the files are reverted, and the links after them: networkd, which has been told of the files, would have
    each port join again that leaves. Raises OwnerFailed, OSError."""
    stay = _ports(record.former) if record.former is not None else []
    if record.owner in OF_NETWORKD and networkd.is_here():
        networkd.let_go(_networks(record, [port for port in _ports(record) if port not in stay]))


def tell_reverted(record: Record) -> None:
    """The owner of it. Raises OwnerFailed, OSError."""
    if record.former is None:
        take_back(record)
    elif record.owner == "networkmanager":
        networkmanager.take_second(record.bridge, _second(record), _second(record.former))
    else:
        hand_over(record.former)


def forget(record: Record) -> None:
    """What this order has kept. Raises OSError."""
    if record.former is None:
        drop(record)
    else:
        keep(record.former)


def put_back(record: Record) -> None:
    """The files as they were, byte for byte where nobody else has changed them. Raises OSError."""
    files.put_back(record.changes, record.bridge)


def drop(record: Record) -> None:
    """Once its owner knows that the files have gone: killed before, the next try tells it so again. Raises OSError."""
    _file(record.bridge).unlink(missing_ok=True)


def take_back(record: Record) -> None:
    """The owner goes on with the uplink, whose files are as before. Raises OwnerFailed."""
    MODULES[record.owner].take_back(record.bridge, record.uplink)
    if record.owner == "networkmanager":
        networkmanager.hold(_ports(record))


def go_on(record: Record) -> None:
    """After the undo of its removal: the bridge and the files are there again, and the owner goes on with them. Raises
    OwnerFailed, OSError."""
    if record.owner == "networkmanager":
        networkmanager.hold([*_ports(record), record.bridge])
    hand_over(record)


@contextmanager
def left_alone(bridge: str) -> Iterator[None]:
    """While it is taken away, though it is still in the files: NetworkManager would make it again at once, and goes on
    with the uplink afterwards; networkd would have each port join again that has left, and gives a port up for good
    whose bridge has gone meanwhile. That goes on with the uplink once the files have gone. Raises OwnerFailed,
    OSError."""
    record = record_of(bridge)
    if record is not None and record.owner in OF_NETWORKD and networkd.is_here():
        networkd.let_go(_networks(record, _ports(record)))
    if record is None or record.owner != "networkmanager":
        yield
        return
    networkmanager.let_go([bridge, *_ports(record)])
    yield
    networkmanager.look_again(record.uplink, _ports(record))


def let_go(bridge: str, port: str) -> None:
    """Before a port leaves a bridge that stays: its owner would have it join again. Raises OwnerFailed, OSError."""
    record = record_of(bridge)
    if record is None or not MODULES[record.owner].is_here():
        return
    if record.owner == "networkmanager":
        networkmanager.let_go([port])
    elif record.owner in OF_NETWORKD:
        networkd.let_go(_networks(record, [port]))


def hold(record: Record) -> None:
    """After an undo: a bridge that was `left_alone`, or a port that was `let_go`, is its owner's again where it is
    there. Raises OwnerFailed, OSError."""
    if record.owner in OF_NETWORKD:
        networkd.hold()
    if record.owner != "networkmanager" or not networkmanager.is_here() or links.kind(record.bridge) is None:
        return
    if networkmanager.hold([*_ports(record), record.bridge]):
        hand_over(record)


def _renamed(record: Record, names: Mapping[str, str]) -> Record:
    """names: of a card, former -> now."""

    def by_name(card: LinkConfiguration) -> LinkConfiguration:
        return card.model_copy(update={"link": names.get(card.link, card.link)})

    mark = Mark.read(record.mark)
    cards = tuple(replace(one, name=names.get(one.name, one.name)) for one in mark.uplinks) if mark is not None else ()
    return record.model_copy(
        update={
            "mark": replace(mark, uplinks=cards).alias() if mark is not None else record.mark,
            "uplink": by_name(record.uplink),
            "second": by_name(record.second) if record.second is not None else None,
            "former": _renamed(record.former, names) if record.former is not None else None,
        }
    )


def _second(record: Record) -> str | None:
    return record.second.link if record.second is not None else None


def _networks(record: Record, ports: list[str]) -> list[str]:
    """The names of the .network files of these ports."""
    second = _second(record)
    called = [SECOND if port == second else "port" for port in ports]
    return [MODULES[record.owner].network_of(record.bridge, one) for one in called]


def _ports(record: Record) -> list[str]:
    """Those that are there: a card may have been taken out."""
    ports = (port.link for port in (record.uplink, record.second) if port is not None)
    return [port for port in ports if port and links.kind(port) is not None]


def _file(bridge: str) -> Path:
    return directory() / f"{bridge}.json"


def keep(record: Record) -> None:
    """Raises OSError."""
    directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write([FileChange(path=str(_file(record.bridge)), after=record.model_dump_json(indent=1))])
