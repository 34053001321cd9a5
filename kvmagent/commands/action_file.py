"""The file that `kvmagent plan` and `kvmagent apply` read: one action as JSON, as the panel would order it."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from virtnet.actions import AnyAction

EXAMPLE = """{
  "action": "define-network",
  "network": {"uuid": "6d7a3f0e-1c5b-4c57-9a43-0d6a3f1b2c11", "name": "office"},
  "spec": {
    "mode": "nat", "name": "office", "bridge": "virbr7", "gateway": "192.168.77.1/24",
    "first_lease": "192.168.77.10", "last_lease": "192.168.77.200"
  }
}"""
_adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)


class NoAction(Exception):
    """The file holds no action; the sentence says why."""


def read_action(path: str) -> AnyAction:
    """`-` is stdin. Raises NoAction."""
    try:
        written = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NoAction(f"{path} cannot be read: {error}") from error
    try:
        return _adapter.validate_json(written)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in found['loc']) or 'the whole'}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)
        ]
        raise NoAction("\n".join([f"{path} holds no action:", *lines, "One looks like this:", EXAMPLE])) from error
