"""sriov_numvfs: writing it, and waiting until the VFs are there and ready."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from pyroute2.netlink.rtnl import RTMGRP_LINK

from kvmagent import sriov
from virtnet.text import Text, text

THERE = 10.0  # seconds for the kernel to add or remove the PCI devices; it does so before the write returns
DRIVEN = 10.0  # seconds for udev to load the VFs' driver and for that to make their links
LOOK = 0.1  # seconds between two looks: a PCI device without a link sends no netlink message


class NotReady(Exception):
    """The VFs did not come, or did not go, in time."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


def change(pf: str, wanted: int) -> None:
    """Through 0, as the kernel asks for, and only back when the VFs are ready. Raises NotReady, OSError.

    Ready is a VF that has a driver, and its link unless that driver is VFIO's. Where none comes in time (its module is
    not there, or kept off) the PCI device alone is enough for a guest.
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
    if sriov.drivers_autoprobe(pf):
        wait(lambda: all(function.is_ready for function in sriov.functions(pf)), DRIVEN)


def all_there(pf: str, wanted: int) -> bool:
    """Whether the PF has exactly this many VFs, each with its PCI device."""
    return sriov.numvfs(pf) == wanted == len(sriov.functions(pf))


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
