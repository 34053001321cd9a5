"""The verbs on PFs and their VFs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

from pyroute2.netlink.exceptions import NetlinkError

from kvmagent import links, numvfs, sriov, vf_attributes, vf_keepers, vf_state
from kvmagent.guard import Batch, Step, Write
from kvmagent.numvfs import NotReady
from kvmagent.steps import Steps, VerbFailed
from kvmagent.vf_attributes import Found, Value
from kvmagent.vf_state import PfState
from virtnet import vf_verbs
from virtnet.text import Text, text
from virtnet.verbs import Verb
from virtnet.vf import DEFAULTS, PAIRS, VfAttributes, target

# A VF that nobody has set anything on.
UNTOUCHED = Found(spoofchk=True, trust=False, link_state="auto", min_tx_rate=0, max_tx_rate=0)
NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)


class VfVerbs:
    """also: takes one more step of the guard's way back, before what it restores is changed."""

    def __init__(self, steps: Steps, also: Callable[[Step], None] = lambda step: None) -> None:
        self._steps = steps
        self._also = also

    def set_numvfs(self, pf: str, wanted: int) -> None:
        former = sriov.numvfs(pf)
        verb = vf_verbs.set_numvfs(pf, wanted, former=former or 0)
        with self._steps.doing(verb):
            if former is None:
                raise VerbFailed(text("%(link)s is not a PF: its card or driver has no SR-IOV.", link=pf))
            if former == wanted and numvfs.all_there(pf, wanted):
                self._steps.already_so(verb)
                return
            found = vf_attributes.read(pf) if former else {}
            back = vf_verbs.set_numvfs(pf, former, former=wanted)
            self._steps.push(back, lambda: self._put_count_back(pf, former, found))
            for step in _way_back(pf, former, found):
                self._also(step)
            self._steps.done(verb, self._set_count(pf, wanted))

    def keep_numvfs(self, pf: str, wanted: int) -> None:
        """The attributes of VFs that remain are kept too; those of VFs that are gone are dropped."""
        former = self._state(pf)
        kept = {index: attributes for index, attributes in former.vfs.items() if index < wanted}
        self._keep(vf_verbs.keep_numvfs(pf, wanted), pf, former.model_copy(update={"numvfs": wanted, "vfs": kept}))

    def set_vf(self, pf: str, index: int, attributes: VfAttributes) -> None:
        values = target(attributes, self._state(pf).vfs.get(index))
        verb = vf_verbs.set_vf(pf, index, values)
        with self._steps.doing(verb):
            found = vf_attributes.read(pf).get(index)
            if found is None:
                raise VerbFailed(text("%(pf)s has no VF %(vf)s.", pf=pf, vf=index))
            changes = _changes(found, values, attributes)
            if not changes:
                self._steps.already_so(verb)
                return
            former = {name: value for name in changes if (value := found.value(name)) is not None}
            self._steps.push(vf_verbs.set_vf(pf, index, former), lambda: _set_back(pf, index, former))
            for group in groups(changes):
                _set(pf, index, group)
            _read_back(pf, index, changes)
            self._steps.done(verb)

    def keep_vf(self, pf: str, index: int, attributes: VfAttributes) -> None:
        former = self._state(pf)
        others = {number: one for number, one in former.vfs.items() if number != index}
        vfs = {**others, index: attributes} if attributes.wanted() else others
        # VFs that somebody else made are there after the next start only if their number is kept too.
        count = former.numvfs or sriov.numvfs(pf) or 0
        self._keep(vf_verbs.keep_vf(pf, index), pf, former.model_copy(update={"numvfs": count, "vfs": vfs}))

    def _keep(self, verb: Verb, pf: str, wanted: PfState) -> None:
        with self._steps.doing(verb):
            former = vf_state.of(vf_state.read(), pf, wanted.pci)
            if (former or PfState()).model_copy(update={"mac": wanted.mac, "pci": wanted.pci}) == wanted:
                self._steps.already_so(verb)
                return
            back = Verb(text=text("Keep for %(pf)s what was kept before.", pf=pf), command="")
            self._steps.push(back, lambda: self._keep_again(pf, former))
            vf_state.keep(pf, wanted)
            vf_keepers.write(_kept_pfs())
            self._steps.done(verb)

    @staticmethod
    def _state(pf: str) -> PfState:
        """What is kept of a PF so far, under its present name and address."""
        pci, mac = links.pci_address(pf), links.mac(pf)
        kept = vf_state.of(vf_state.read(), pf, pci) or PfState()
        return kept.model_copy(update={"mac": mac, "pci": pci or ""})

    def _set_count(self, pf: str, wanted: int) -> Text | None:
        """Set, wait, and give the VFs that were there before what is wanted of them."""
        # Before the VFs' links appear: others would take them for the host's own.
        vf_keepers.write([*_kept_pfs(), *([links.pci_address(pf) or ""] if wanted else [])])
        try:
            numvfs.change(pf, wanted)
        except NotReady as error:
            raise VerbFailed(error.text) from error
        except OSError as error:
            raise VerbFailed(_count_refused(pf, wanted, error)) from error
        kept = {index: one for index, one in self._state(pf).vfs.items() if index < wanted and one.wanted()}
        for index, attributes in sorted(kept.items()):
            for group in groups(target(attributes, None)):
                _set(pf, index, group)
        if kept:
            indexes = ", ".join(str(index) for index in sorted(kept))
            return text("What is wanted of the VFs %(vfs)s was set again.", vfs=indexes)
        return None

    # The ways back. Each looks first: what it takes back may never have come about.

    @staticmethod
    def _put_count_back(pf: str, former: int, found: Mapping[int, Found]) -> bool:
        was_other = not numvfs.all_there(pf, former)  # else the guard has put the number back already
        if was_other:
            try:
                numvfs.change(pf, former)
            except NotReady as error:
                raise VerbFailed(error.text) from error
        set_back = [_set_back(pf, index, _told(was)) for index, was in found.items()]
        return was_other or any(set_back)

    @staticmethod
    def _keep_again(pf: str, former: PfState | None) -> bool:
        vf_state.keep(pf, former)
        vf_keepers.write(_kept_pfs())
        return True


def _kept_pfs() -> list[str]:
    return [state.pci for state in vf_state.read().values()]


def differing(found: Found, values: Mapping[str, Value]) -> dict[str, Value]:
    """Those that a VF has not, a pair whole."""
    changed = {name: value for name, value in values.items() if found.value(name) != value}
    for pair in PAIRS:
        if any(one in changed for one in pair):
            changed |= {one: values[one] for one in pair}
    return {name: changed[name] for name in DEFAULTS if name in changed}


def groups(values: Mapping[str, Value]) -> list[dict[str, Value]]:
    """One for each message: an attribute alone, or a pair, so that a refusal names what was refused."""
    grouped: dict[str, dict[str, Value]] = {}
    for attribute, value in values.items():
        pair = next((pair for pair in PAIRS if attribute in pair), (attribute,))
        grouped.setdefault(pair[0], {})[attribute] = value
    return list(grouped.values())


def _changes(found: Found, values: Mapping[str, Value], wanted: VfAttributes) -> dict[str, Value]:
    """The attributes to set. One that the driver does not tell is tried when it is wanted, never to reset it."""
    asked = wanted.wanted()
    return differing(
        found, {name: value for name, value in values.items() if found.value(name) is not None or name in asked}
    )


def _told(found: Found) -> dict[str, Value]:
    """What the driver tells of a VF, to set it again."""
    return {name: value for name in DEFAULTS if (value := found.value(name)) is not None}


def _way_back(pf: str, former: int, found: Mapping[int, Found]) -> list[Step]:
    """For the guard, the last step first, as it takes them: through 0 to the former number, and the VFs' attributes."""
    file = str(sriov.SYS_CLASS_NET / pf / "device" / "sriov_numvfs")
    steps: list[Step] = [Write(do="write", path=file, value="0")]
    if former:
        steps.insert(0, Write(do="write", path=file, value=f"{former}"))
    lines = [
        vf_verbs.set_vf(pf, index, group).command.removeprefix("ip ")
        for index, was in sorted(found.items())
        for group in groups(differing(UNTOUCHED, _told(was)))
    ]
    if lines:
        steps.insert(0, Batch(do="ip", options=[], lines=lines))
    return steps


def _set(pf: str, index: int, values: dict[str, Value]) -> None:
    try:
        vf_attributes.set_values(pf, index, values)
    except NetlinkError as error:
        raise VerbFailed(_refused(pf, index, values, error)) from error


def _set_back(pf: str, index: int, former: Mapping[str, Value]) -> bool:
    """Returns whether there was something to set back; a VF that is gone has nothing."""
    found = vf_attributes.read(pf).get(index)
    changed = differing(found, former) if found is not None else {}
    for group in groups(changed):
        _set(pf, index, group)
    return bool(changed)


def _refused(pf: str, index: int, values: Mapping[str, Value], error: NetlinkError) -> Text:
    driver = sriov.linked(sriov.SYS_CLASS_NET / pf / "device" / "driver") or "?"
    names = ", ".join(attribute for attribute, value in values.items() if value or len(values) == 1)
    if error.code in NOT_SUPPORTED:
        return text(
            "The driver %(driver)s of %(pf)s cannot set this of a VF: %(attribute)s. Leave it empty.",
            driver=driver,
            pf=pf,
            attribute=names,
        )
    return text(
        "The driver %(driver)s refuses %(values)s for VF %(vf)s of %(pf)s: %(error)s",
        driver=driver,
        values=", ".join(f"{attribute} {value}" for attribute, value in values.items()),
        vf=index,
        pf=pf,
        error=error,
    )


def _read_back(pf: str, index: int, values: Mapping[str, Value]) -> None:
    """A MAC address that was taken away is not read back: the VF may have drawn one of its own meanwhile."""
    found = vf_attributes.read(pf).get(index)
    for attribute, value in values.items():
        is_ = found.value(attribute) if found is not None else None
        if is_ is None or is_ == value or (attribute == "mac" and value == DEFAULTS["mac"]):
            continue
        raise VerbFailed(
            text(
                "VF %(vf)s of %(pf)s has %(attribute)s %(actual)s after %(wanted)s was set.",
                vf=index,
                pf=pf,
                attribute=attribute,
                actual=is_,
                wanted=value,
            )
        )


def _count_refused(pf: str, wanted: int, error: OSError) -> Text:
    if error.errno == errno.EBUSY:
        return text("The kernel says that VFs of %(pf)s are in use. Free them first.", pf=pf)
    if error.errno == errno.ERANGE:
        return text("%(pf)s cannot have %(numvfs)s VFs: its driver takes fewer.", pf=pf, numvfs=wanted)
    return text("The driver of %(pf)s refuses %(numvfs)s VFs: %(error)s", pf=pf, numvfs=wanted, error=error)
