"""Pings: one, one before long, or a hundred a second for as long as something is done to the one who answers them."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import ParamSpec

from lab.guest import LabGuest
from lab.machine import LabMachine

BEFORE_LONG = 20.0  # seconds
Asked = ParamSpec("Asked")


def before_long(reaches: Callable[Asked, bool], *whom: Asked.args, **named: Asked.kwargs) -> bool:
    """before_long(pings, lab.client, address): whether it is so now or within BEFORE_LONG.

    Who is to be reached may have to be asked for first, and a guest is emulated. Who is not to be reached, or to be
    reached at each moment, is asked once.
    """
    deadline = time.monotonic() + BEFORE_LONG
    while not reaches(*whom, **named):
        if time.monotonic() > deadline:
            return False
    return True


def pings(machine: LabMachine, address: object) -> bool:
    """Whether it answers one ping within 2 s."""
    return machine.run(["ping", "-c1", "-W2", str(address)], check=False).returncode == 0


def guest_pings(guest: LabGuest, address: object) -> bool:
    """Whether it answers one ping of a guest within 2 s."""
    return guest.run(f"ping -c1 -W2 {address}")[0] == 0


@dataclass
class Pings:
    """with Pings(lab.panel, "10.77.0.11") as pings: …; afterwards `sent` and `lost`.

    One that came too late for the end is not counted.
    """

    machine: LabMachine
    address: str
    sent: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)

    def __enter__(self) -> Pings:
        ping = ["ping", "-n", "-i", "0.01", self.address]
        self._process = self.machine.popen(ping, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=20)
        answered = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", said)]
        # The last may have been on its way when we stopped.
        self.sent = max(answered)
        self.lost = self.sent - len(set(answered))
