"""The verbs on the host's own configuration: a bridge written into it, and taken out of it again."""

from __future__ import annotations

from pyroute2 import IPRoute

from kvmagent import bridges, links, snapshot
from kvmagent.bridge_mark import Mark
from kvmagent.persist import bridge as lasting
from kvmagent.persist.bridge import Record
from kvmagent.persist.owners import OwnerFailed
from kvmagent.steps import Steps, VerbFailed, explained
from virtnet import verbs
from virtnet.bridges import Wiring
from virtnet.configuration import OWNERS
from virtnet.persist import CannotLast, LastingBridge
from virtnet.refs import NetworkRef
from virtnet.text import text

SETTLING = 5.0  # seconds: until an owner that was told of the bridge has looked at it


class PersistVerbs:
    """order: whose verbs these are. What an earlier order has written is not taken out when this one is undone."""

    def __init__(self, steps: Steps, order: str) -> None:
        self._steps = steps
        self._order = order
        self._put_back: list[Record] = []
        self._again: list[Record] = []

    def take_up(self, bridge: str) -> None:
        """Before this order touches the bridge: what an interrupted try of it has written goes when this try fails."""
        record = lasting.record_of(bridge)
        if record is not None and record.order == self._order:
            self._steps.push(verbs.forget_bridge(bridge, record.owner), lambda: self._files_back(record))

    def take_up_all(self) -> None:
        """The same of every bridge that this order has written."""
        for record in lasting.records():
            self.take_up(record.bridge)

    def persist_bridge(self, network: NetworkRef, wanted: Wiring) -> None:
        bridge = wanted.bridge
        verb = verbs.persist_bridge(bridge)
        with self._steps.doing(verb):
            mark, record = bridges.mark(bridge), lasting.record_of(bridge)
            if mark is None:
                self._steps.already_so(verb, text("%(bridge)s is as others made it.", bridge=bridge))
                return
            try:
                if record is not None and record.order != self._order:
                    record = self._another(record, network, wanted, mark)
                    if record is None:
                        self._steps.already_so(verb)
                        return
                record = record or lasting.prepare(_wanted(wanted, mark), mark, self._order)
                verb = verbs.persist_bridge(bridge, record.owner, record.edits or record.changes)
                if record.order == self._order:
                    self._steps.push(verbs.forget_bridge(bridge, record.owner), lambda: self._files_back(record))
                lasting.write(record)
                before = snapshot.take()
                lasting.hand_over(record)
            except (CannotLast, OwnerFailed) as error:
                raise VerbFailed(error.text) from error
            self._nothing_changed(before, bridge, wanted.uplink, wanted.second)
            self._steps.done(verb)

    def forget_bridge(self, bridge: str, *, gone: bool) -> None:
        """gone: whether the bridge has just been taken away."""
        record = lasting.record_of(bridge)
        record = lasting.settled(record) if record is not None else None
        verb = verbs.forget_bridge(bridge, record.owner if record else None)
        with self._steps.doing(verb):
            if record is not None and gone and links.kind(bridge) is not None:
                raise VerbFailed(
                    text(
                        "%(owner)s has made %(bridge)s again from its configuration. Take its profiles out of "
                        "%(owner)s by hand, then undefine the network once more.",
                        owner=OWNERS[record.owner],
                        bridge=bridge,
                    )
                )
            if record is None or links.kind(bridge) is not None:
                self._steps.already_so(verb)
                return
            again = verbs.persist_bridge(bridge, record.owner, record.changes)
            self._steps.push(again, lambda: self._files_again(record))
            lasting.put_back(record)
            try:
                lasting.take_back(record)
            except OwnerFailed as error:
                raise VerbFailed(error.text) from error
            lasting.drop(record)
            self._steps.done(verb)

    def finish_undo(self) -> bool:
        """Once the links are as before, their owner looks at them again. True when all went well."""
        went_well = True
        put_back, again = self._put_back[::-1], self._again[::-1]
        self._put_back, self._again = [], []
        told = [*((record, _taken_back) for record in put_back), *((record, lasting.go_on) for record in again)]
        others = [record for record in lasting.records() if record not in [*put_back, *again]]
        for record, tell in [*told, *((record, lasting.hold) for record in others)]:
            verb = verbs.forget_bridge(record.bridge, record.owner)
            try:
                tell(record)
            except (OwnerFailed, OSError) as error:
                went_well = False
                self._steps.not_undone(verb, explained(verb, error))
        return went_well

    def _another(self, record: Record, network: NetworkRef, wanted: Wiring, mark: Mark) -> Record | None:
        """What is to be written where an earlier order has written the bridge; None where that stands as it is."""
        if mark.network == network.uuid:
            changed = lasting.prepare_change(record, _wanted(wanted, mark), mark, self._order)
            if changed.edits:
                lasting.keep(changed)
                return changed
        return None if lasting.stands(record) else lasting.settled(record)

    def _nothing_changed(self, before: snapshot.Snapshot, *names: str | None) -> None:
        """Addresses and routes at least: the owner's own flags on them are its business."""
        gone = snapshot.lost(before, of={name for name in names if name}, seconds=SETTLING)
        if gone:
            raise VerbFailed(gone[0])

    def _files_back(self, record: Record) -> bool:
        """The owner is told later: at this moment the addresses are still on the bridge."""
        if record in self._put_back or lasting.record_of(record.bridge) is None:
            return False
        try:
            lasting.let_joined_go(record)
        finally:
            lasting.revert(record)
        self._put_back.append(record)
        return True

    def _files_again(self, record: Record) -> bool:
        """The owner is told later: at this moment the bridge is not there."""
        if lasting.record_of(record.bridge) is not None and lasting.stands(record):
            return False
        self._again.append(record)
        lasting.keep(record)
        lasting.write(record)
        return True


def _taken_back(record: Record) -> None:
    try:
        lasting.tell_reverted(record)
    finally:
        lasting.forget(record)


def _wanted(wanted: Wiring, mark: Mark) -> LastingBridge:
    """As the bridge is now. Raises NoSuchLink."""
    uplink, second = wanted.uplink, wanted.second
    with IPRoute() as netlink:
        found = links.find(netlink, wanted.bridge)
        ports = [links.find(netlink, name) if name is not None else None for name in (uplink, second)]
    permanent, second_permanent = (port.get_attr("IFLA_PERM_ADDRESS") if port is not None else None for port in ports)
    has_port = uplink is not None
    return LastingBridge(
        name=wanted.bridge,
        uplink=uplink,
        mac=found.get_attr("IFLA_ADDRESS") if has_port else None,
        mtu=wanted.mtu or (found.get_attr("IFLA_MTU") if has_port else None),
        sets_mtu=wanted.mtu is not None or bool(mark.mtus),
        permanent_mac=permanent.lower() if permanent else None,
        second=second,
        second_permanent_mac=second_permanent.lower() if second_permanent else None,
        forward_delay=wanted.forward_delay,
    )
