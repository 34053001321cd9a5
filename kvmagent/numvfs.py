"""sriov_numvfs: writing it, and waiting until the VFs are there and ready."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from pyroute2.netlink.rtnl import RTMGRP_LINK

from kvmagent import sriov, udev
from virtnet.text import Text, text

THERE = 10.0  # seconds for the kernel to add or remove the PCI devices; it does so before the write returns
DRIVEN = 60.0  # seconds for udev to load the VFs' driver, and to name their links; a host that starts has much to load
LINKED = 10.0  # seconds more for a driver that makes its links by and by (iavf)
LOOK = 0.1  # seconds between two looks: a PCI device without a link sends no netlink message


class NotReady(Exception):
    """The VFs did not come, or did not go, in time."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


def change(pf: str, wanted: int) -> None:
    """Through 0, as the kernel asks for, and only back when the VFs are ready. Raises NotReady, OSError.

    Ready is a VF that has a driver, and its link under the name that it keeps, unless that driver is VFIO's. Where none
    comes (its module is not there, or kept off) the PCI device alone is enough for a guest.
    """
    if sriov.numvfs(pf) and not all_there(pf, wanted):
        sriov.write_numvfs(pf, 0)
        if not wait(lambda: not sriov.functions(pf), THERE):
            raise NotReady(text("The VFs of %(pf)s did not go within %(seconds)s s.", pf=pf, seconds=int(THERE)))
    if not wanted:
        return
    sriov.write_numvfs(pf, wanted)
    if not wait(lambda: all_there(pf, wanted), THERE):
        raise NotReady(
            text(
                "%(pf)s has not got its %(numvfs)s VFs within %(seconds)s s.",
                pf=pf,
                numvfs=wanted,
                seconds=int(THERE),
            )
        )
    await_links(pf)


def all_there(pf: str, wanted: int) -> bool:
    """Whether the PF has exactly this many VFs, each with its PCI device."""
    return sriov.numvfs(pf) == wanted == len(sriov.functions(pf))


def await_links(pf: str) -> None:
    """Until each VF is ready, or is not going to be: udev has seen to all of them, and a driver has not come."""
    if not sriov.drivers_autoprobe(pf) or _are_ready(pf):
        return
    if not udev.is_there():
        wait(lambda: _are_ready(pf), LINKED)
        return
    with udev.settling(DRIVEN) as settled:
        wait(lambda: _are_ready(pf) or settled(), DRIVEN)
    wait(lambda: _are_ready(pf, or_have_no_driver=True), LINKED)


def _are_ready(pf: str, *, or_have_no_driver: bool = False) -> bool:
    return all(
        (function.is_ready and (function.link is None or udev.is_done_with(function.link)))
        or (or_have_no_driver and function.driver is None)
        for function in sriov.functions(pf)
    )


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Until it is so. Looks when the kernel tells of a link, and at least each LOOK; False when the time is over."""
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as told:
        told.bind((0, RTMGRP_LINK))
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if select.select([told], [], [], min(left, LOOK))[0]:
                _drain(told)
    return True


def _drain(told: socket.socket) -> None:
    try:
        told.recv(65536, socket.MSG_DONTWAIT)
    except OSError:  # an overrun (ENOBUFS): there were messages, which is all that counts
        return
