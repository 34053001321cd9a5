"""A machine of the lab: something in a network namespace with an address, on which programs can be run."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from lab.namespaces import path
from lab.prerequisites import SYSTEM_PATH
from lab.processes import MARK
from lab.state import State


@dataclass
class LabMachine:
    """name: its short name ("panel"). address: where the rest of the lab reaches it."""

    state: State
    name: str
    address: IPv4Address

    @property
    def namespace(self) -> str:
        return f"{self.state.prefix}-{self.name}"

    @property
    def state_dir(self) -> Path:
        """Files of this machine; the same path inside and outside; gone when the lab is taken down."""
        return self.state.directory / self.name

    def entering(self) -> list[str]:
        """The beginning of a command line that enters this machine. nsenter then becomes the command: the pid stays."""
        return ["nsenter", f"--net={path(self.namespace)}", "--"]

    def run(
        self,
        argv: Sequence[str],
        check: bool = True,
        timeout: float = 30,
        input: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on this machine to its end.

        timeout: seconds. Raises CalledProcessError (with the program's stderr as a note) where `check` and it failed.
        """
        stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        result = subprocess.run(
            [*self.entering(), *argv],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(),
            **stdin,
        )
        if check and result.returncode != 0:
            error = subprocess.CalledProcessError(result.returncode, list(argv), result.stdout, result.stderr)
            error.add_note(f"on {self.name}: {shlex.join(argv)}\n{result.stdout}{result.stderr}")
            raise error
        return result

    def popen(self, argv: Sequence[str], log: Path | None = None, **popen_kwargs: Any) -> "subprocess.Popen[Any]":
        """Start a program on this machine that goes on by itself; the lab's take-down ends it.

        log: file that takes stdout and stderr, appended to. The other arguments are Popen's.
        The pid is the program's own, so signals reach it.
        """
        popen_kwargs["env"] = self.environment() | dict(popen_kwargs.get("env") or {})
        popen_kwargs.setdefault("stdin", subprocess.DEVNULL)
        popen_kwargs.setdefault("start_new_session", True)
        if log is None:
            return subprocess.Popen([*self.entering(), *argv], **popen_kwargs)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            return subprocess.Popen([*self.entering(), *argv], stdout=file, stderr=subprocess.STDOUT, **popen_kwargs)

    def environment(self) -> dict[str, str]:
        """This process's environment with the lab's mark, by which take-down knows what it may kill."""
        search = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
        return {**os.environ, "PATH": search, MARK: self.state.mark}

    def write_sysctl(self, key: str, value: str) -> None:
        """key: with dots, under `net`, where each network namespace has values of its own."""
        self.run(["tee", f"/proc/sys/{key.replace('.', '/')}"], input=value)
