"""The host's tables of our own: loaded whole in one transaction, kept in a file for the next boot, read back.

virtnet.firewall and virtnet.inbound write the text; nothing here knows what a rule means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from kvmagent import nftables
from kvmagent.guard import sync_directory, write_whole
from virtnet.firewall import TABLE
from virtnet.text import Text, text

_Answer = TypeVar("_Answer")


class FirewallFailed(Exception):
    """nft refused, or did something else than it was asked; `text` says what."""

    def __init__(self, sentence: Text) -> None:
        super().__init__(str(sentence))
        self.text = sentence


@dataclass(frozen=True)
class Former:
    """The table and its file as they were: text that `nft -f -` takes; None where there was none."""

    table: str | None
    file: bytes | None


class Firewall:
    """`file`: where the table's text lies for the next boot (kvmpanel.nft, loaded before libvirtd starts)."""

    def __init__(self, file: Path, *, family: Literal["inet", "bridge"] = "inet") -> None:
        self._file = file
        self._family = family

    def now(self) -> Former:
        """What is loaded and what lies in the file. Raises FirewallFailed."""
        return Former(table=self._listed(), file=self._file.read_bytes() if self._file.exists() else None)

    def holds(self, ruleset: str, now: Former) -> bool:
        """Whether the kernel and the file both hold this very text."""
        return body(now.table or "") == body(ruleset) and now.file == ruleset.encode()

    def load(self, ruleset: str) -> None:
        """Load the text, keep it for the next boot, and count in the kernel that each rule has arrived.

        Raises FirewallFailed, OSError; the table may be loaded then: `restore` puts the former one back.
        """
        _asked(lambda: nftables.run(ruleset))
        _write(self._file, ruleset.encode())
        wanted, found = _rules_in(ruleset), self._rules_loaded()
        if wanted != found:
            raise FirewallFailed(
                text(
                    "The table %(family)s %(table)s holds %(found)s rules where %(wanted)s were loaded.",
                    family=self._family,
                    table=TABLE,
                    found=sum(found.values()),
                    wanted=sum(wanted.values()),
                )
            )

    def restore(self, former: Former) -> None:
        """Put a former table and file back. Raises FirewallFailed, OSError."""
        _asked(lambda: nftables.run(f"add {self._table}\ndelete {self._table}\n{former.table or ''}"))
        if former.file is not None:
            _write(self._file, former.file)
        elif self._file.exists():
            self._file.unlink()
            sync_directory(self._file.parent)

    @property
    def _table(self) -> str:
        return f"table {self._family} {TABLE}"

    def _listed(self) -> str | None:
        """The table as nft lists it, without what its sets have learnt; None when there is no such table."""
        # Two questions, for nft's answer to a table that is not there is a sentence that changes with its version.
        return _asked(lambda: nftables.run(f"list {self._table}")) if self._is_there() else None

    def _is_there(self) -> bool:
        tables = [one["table"] for one in _asked(lambda: nftables.run_json("list tables")) if "table" in one]
        return any((table["family"], table["name"]) == (self._family, TABLE) for table in tables)

    def _rules_loaded(self) -> Counter[str]:
        """Chain -> how many rules the kernel holds in it."""
        if not self._is_there():
            return Counter()
        listed = _asked(lambda: nftables.run_json(f"list {self._table}"))
        return Counter(one["rule"]["chain"] for one in listed if "rule" in one)


def _rules_in(ruleset: str) -> Counter[str]:
    """Chain -> how many rules the text holds in it."""
    found: Counter[str] = Counter()
    chain = ""
    for line in body(ruleset):
        if line.startswith("chain "):
            chain = line.split()[1]
        elif chain and line != "}" and not line.startswith("type "):
            found[chain] += 1
    return found


def body(ruleset: str) -> list[str]:
    """The lines of a table itself, without the lines that empty it before and without nft's blank ones."""
    lines = [line.strip() for line in ruleset.splitlines()]
    return [line for line in lines if line and not line.startswith(("add table", "delete table"))]


def _asked(ask: Callable[[], _Answer]) -> _Answer:
    try:
        return ask()
    except nftables.NoNftables as error:
        raise FirewallFailed(text("nft is not installed. Install the package nftables.")) from error
    except nftables.NftError as error:
        raise FirewallFailed(text("nft refused: %(error)s", error=error)) from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
