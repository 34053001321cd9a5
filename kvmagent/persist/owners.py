"""What the owners' modules share: a link as they are asked about it, their files, and their own programs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from virtnet.configuration import ConfigurationFile
from virtnet.text import Text, text

LONGEST_FILE = 100_000  # characters; what is longer was written by no administrator


@dataclass(frozen=True)
class Link:
    """permanent_mac: "" where it has none. mac: that it has now."""

    name: str
    index: int
    permanent_mac: str
    mac: str = ""


class OwnerFailed(Exception):
    """The owner of the host's network did not do its part; `text` says what it said."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


def read_file(path: Path) -> ConfigurationFile | None:
    """None where it is not there, or is no text of a usual length."""
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return ConfigurationFile(path=str(path), text=content) if len(content) <= LONGEST_FILE else None


def ask(command: list[str], timeout: float = 30) -> str:
    """What it printed. Raises OwnerFailed with what it complained of."""
    # netplan is Python too, with modules of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        # netplan's files are for networkd to read, which is a user of its own; the agent's umask lets nobody else read.
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, env=environment, umask=0o022
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OwnerFailed(text("%(command)s: %(error)s", command=" ".join(command), error=error)) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise OwnerFailed(text("%(command)s: %(error)s", command=" ".join(command), error=said))
    return done.stdout
