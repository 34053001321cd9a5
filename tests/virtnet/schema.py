"""libvirt's RELAX NG schemas, by xmllint: many documents in one run, since reading the schema takes the most time."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

SCHEMAS = Path("/usr/share/libvirt/schemas")

needs_schemas = pytest.mark.skipif(
    not SCHEMAS.is_dir() or not Path("/usr/bin/xmllint").exists(),
    reason="needs libvirt's schemas and xmllint (Debian: libvirt0, libxml2-utils)",
)

_AT_ONCE = 500


def refused_by_schema(schema: str, documents: Sequence[str]) -> list[str]:
    """Those documents that libvirt's schema (e.g. "network.rng") does not allow, or that are no XML."""
    refused: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        for start in range(0, len(documents), _AT_ONCE):
            refused += _refused(schema, documents[start : start + _AT_ONCE], Path(directory))
    return refused


def _refused(schema: str, documents: Sequence[str], directory: Path) -> list[str]:
    names = []
    for number, document in enumerate(documents):
        path = directory / f"{number}.xml"
        path.write_text(document, encoding="utf-8")
        names.append(str(path))
    ran = subprocess.run(
        ["xmllint", "--noout", "--relaxng", str(SCHEMAS / schema), *names], capture_output=True, text=True, check=False
    )
    # xmllint says "FILE validates" of each good one on stderr.
    good = {line.removesuffix(" validates") for line in ran.stderr.splitlines() if line.endswith(" validates")}
    return [document for name, document in zip(names, documents, strict=True) if name not in good]
