"""A udev that is not there: what the agent reads of it, and a `udevadm settle` that waits for its queue."""

from __future__ import annotations

import os

import pytest

from kvmagent import udev
from tests.agent.sriov_card import FakeCard

SETTLE = """\
#!/bin/sh
while [ -e {queue} ]; do sleep 0.02; done
"""


class FakeUdev:
    """It runs beside this card, and has nothing to do until `begin`."""

    def __init__(self, card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
        self._card = card
        self._queue = udev.RUN / "queue"
        (udev.RUN / "data").mkdir(parents=True)
        (udev.RUN / "control").touch()
        program = card.root / "bin" / "udevadm"
        program.parent.mkdir()
        program.write_text(SETTLE.format(queue=self._queue))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def begin(self) -> None:
        """From now on it has events to handle."""
        self._queue.touch()

    def end(self) -> None:
        self._queue.unlink(missing_ok=True)

    def say(self, link: str, index: int, *lines: str) -> None:
        """A link of this name and index is there, and these lines are what is known of it; none: nothing is."""
        directory = self._card.root / "net" / link
        directory.mkdir(exist_ok=True)
        (directory / "ifindex").write_text(f"{index}\n")
        if lines:
            (udev.RUN / "data" / f"n{index}").write_text("".join(f"{line}\n" for line in lines))

    def rename(self, vf: int, name: str, index: int) -> None:
        """Give a VF's link the name that it keeps."""
        (link,) = (self._card.device.parent / self._card.address(vf) / "net").iterdir()
        link.rename(link.with_name(name))
        self.say(name, index, "I:42")
