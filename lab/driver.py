"""What stands in for the lab where nobody is root: agents of this machine over libvirt's own test driver.

Nothing of the kernel is touched and no packet flows: `test:///default` keeps networks and guests in the agent's memory.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Any

LOOPBACK = IPv4Address("127.0.0.1")


@dataclass
class ThisMachine:
    """Offers what a LabMachine does, on this machine itself."""

    name: str
    state_dir: Path
    address: IPv4Address = LOOPBACK
    uri: str = "test:///default"

    def run(self, argv: Sequence[str], timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; CalledProcessError when it fails."""
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=timeout, env=self.environment())

    def popen(self, argv: Sequence[str], log: Path | None = None, **popen_kwargs: Any) -> subprocess.Popen[Any]:
        """Start a program that goes on by itself. log: file that takes stdout and stderr, appended to."""
        popen_kwargs["env"] = self.environment() | dict(popen_kwargs.get("env") or {})
        popen_kwargs.setdefault("stdin", subprocess.DEVNULL)
        popen_kwargs.setdefault("start_new_session", True)
        if log is None:
            return subprocess.Popen(argv, **popen_kwargs)
        with log.open("ab") as file:
            return subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, **popen_kwargs)

    def environment(self) -> dict[str, str]:
        """This process's, with the agent's files in this machine's directory."""
        return {
            **os.environ,
            "KVMAGENT_ETC": str(self.state_dir / "etc"),
            "KVMAGENT_STATE": str(self.state_dir / "state"),
        }


class DriverLab:
    """`with DriverLab(2) as lab`: hosts of the test driver, their files in a directory that goes with it."""

    def __init__(self, hosts: int) -> None:
        self._count = hosts

    def __enter__(self) -> DriverLab:
        self._directory = Path(tempfile.mkdtemp(prefix="kvmpanel-"))
        self.panel = self._machine("panel")
        self.hosts = [self._machine(f"host{letter}") for letter in "abcdefgh"[: self._count]]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._directory)

    def _machine(self, name: str) -> ThisMachine:
        directory = self._directory / name
        directory.mkdir()
        return ThisMachine(name, directory)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server((str(LOOPBACK), 0)) as probe:
        return int(probe.getsockname()[1])
