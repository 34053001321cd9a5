"""PFs and their VFs for the facts: sysfs, netlink and what the panel wants of them, brought together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from pyroute2.netlink.exceptions import NetlinkError

from kvmagent import links, sriov, vf_attributes, vf_state
from kvmagent.links import NoSuchLink
from kvmagent.vf_attributes import Found
from virtnet.link_facts import Link, Vf
from virtnet.vf import DEFAULTS, VfAttributes

log = logging.getLogger(__name__)


def with_vfs(found_links: Iterable[Link]) -> tuple[Link, ...]:
    """The same links, the PFs among them with their VFs and what is wanted of both."""
    found = tuple(found_links)
    if not any(link.totalvfs for link in found):
        return found
    states = vf_state.read()
    return tuple(_with_vfs(link, states) if link.totalvfs else link for link in found)


def read_vfs(pf: str, wanted: vf_state.PfState | None = None) -> tuple[Vf, ...]:
    """The VFs of one PF, by index. A PF whose driver tells no attributes still has its VFs."""
    functions = sriov.functions(pf)
    told = _attributes(pf) if functions else {}
    kept = wanted.vfs if wanted is not None else {}
    return tuple(_vf(function, told.get(function.index, Found()), kept.get(function.index)) for function in functions)


def described(pf: str) -> str:
    """A PF and its VFs in lines, as `ip link show` names things; "" for what is no PF. For before and after."""
    count = sriov.numvfs(pf)
    if count is None:
        return ""
    kept = vf_state.of(vf_state.read(), pf, links.pci_address(pf))
    lines = [f"{pf} sriov_numvfs {count}, kept for the next start {kept.numvfs if kept is not None else 0}"]
    for vf in read_vfs(pf, kept):
        wanted = vf.wanted.wanted() if vf.wanted is not None else {}
        lines.append(f"  vf {vf.index} {vf.pci_address} {_words(vf.model_dump(include=set(DEFAULTS)))}")
        if wanted:
            lines.append(f"    kept: {_words(wanted)}")
    return "\n".join(lines) + "\n"


def _words(values: Mapping[str, object]) -> str:
    switches = {True: "on", False: "off"}
    told = {name: value for name in DEFAULTS if (value := values.get(name)) not in (None, "")}
    return " ".join(f"{name} {switches[value] if isinstance(value, bool) else value}" for name, value in told.items())


def _with_vfs(link: Link, states: Mapping[str, vf_state.PfState]) -> Link:
    wanted = vf_state.of(states, link.name, link.pci_address)
    about = {"vfs": read_vfs(link.name, wanted), "wanted_numvfs": wanted.numvfs if wanted is not None else None}
    return link.model_copy(update=about)


def _attributes(pf: str) -> dict[int, Found]:
    try:
        return vf_attributes.read(pf)
    except (NoSuchLink, NetlinkError) as error:
        log.warning("the attributes of the VFs of %s cannot be read: %s", pf, error)
        return {}


def _vf(function: sriov.Function, found: Found, wanted: VfAttributes | None) -> Vf:
    return Vf(
        index=function.index,
        pci_address=function.pci_address,
        driver=function.driver,
        link=function.link,
        iommu_group=function.group,
        group_devices=function.group_devices,
        **asdict(found),
        wanted=wanted,
    )
