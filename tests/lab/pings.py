"""Pings: one, or a hundred a second for as long as something is done to the one who answers them."""

from __future__ import annotations

import re
import signal
import subprocess
from dataclasses import dataclass, field
from types import TracebackType

from lab.machine import LabMachine


def pings(machine: LabMachine, address: object) -> bool:
    """Whether it answers one ping within 2 s."""
    return machine.run(["ping", "-c1", "-W2", str(address)], check=False).returncode == 0


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
