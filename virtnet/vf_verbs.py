"""The verbs on PFs and their VFs in words, as virtnet.verbs has all others."""

from __future__ import annotations

from collections.abc import Mapping

from virtnet.text import text
from virtnet.verbs import Verb


def set_numvfs(pf: str, numvfs: int, *, former: int = 0) -> Verb:
    """former: how many there are; the kernel goes from one number to another only through 0."""
    file = f"/sys/class/net/{pf}/device/sriov_numvfs"
    if not numvfs:
        return Verb(text=text("Take the VFs of %(pf)s away.", pf=pf), command=f"echo 0 > {file}")
    first = f"echo 0 > {file}; " if former not in {0, numvfs} else ""
    return Verb(
        text=text("Make %(numvfs)s VFs on %(pf)s, and wait until they are ready.", numvfs=numvfs, pf=pf),
        command=f"{first}echo {numvfs} > {file}",
    )


def keep_numvfs(pf: str, numvfs: int) -> Verb:
    if not numvfs:
        return Verb(text=text("Make no VFs on %(pf)s at the host's next start.", pf=pf), command="")
    sentence = text("Keep %(numvfs)s VFs on %(pf)s for the host's next start.", numvfs=numvfs, pf=pf)
    return Verb(text=sentence, command="")


def set_vf(pf: str, vf: int, values: Mapping[str, str | int | bool]) -> Verb:
    return Verb(
        text=text("Set the attributes of VF %(vf)s of %(pf)s.", vf=vf, pf=pf),
        command=" ".join([f"ip link set {pf} vf {vf}", *_vf_words(values)]) if values else "",
    )


def keep_vf(pf: str, vf: int) -> Verb:
    sentence = text("Keep the attributes of VF %(vf)s of %(pf)s for the host's next start.", vf=vf, pf=pf)
    return Verb(text=sentence, command="")


def _vf_words(values: Mapping[str, str | int | bool]) -> list[str]:
    """As iproute2 says them; its `state` is our link_state, and a priority is said within `vlan`."""
    words = []
    for attribute, value in values.items():
        said = ("on" if value else "off") if isinstance(value, bool) else value
        words.append(f"{'state' if attribute == 'link_state' else attribute} {said}")
    return words
