"""The XML of each mode and submode, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.virtnet.samples import CASES, OFFICE
from tests.virtnet.schema import needs_schemas, refused_by_schema
from virtnet.modes import MODES

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("case", CASES)
def test_its_xml_is_the_golden_one(case: str) -> None:
    assert CASES[case].libvirt_xml(OFFICE) == (GOLDEN / f"{case}.xml").read_text(encoding="utf-8")


def test_each_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_each_mode_has_a_golden_file() -> None:
    assert {spec.mode for spec in CASES.values()} == set(MODES)


@needs_schemas
def test_libvirt_s_schema_allows_each_and_the_panel_s_metadata_in_it() -> None:
    documents = [path.read_text(encoding="utf-8") for path in sorted(GOLDEN.iterdir())]
    assert refused_by_schema("network.rng", documents) == []


@needs_schemas
def test_the_schema_finds_an_element_that_does_not_belong() -> None:
    wrong = CASES["nat-plain"].libvirt_xml(OFFICE).replace("<bridge ", "<surprise />\n  <bridge ")
    assert refused_by_schema("network.rng", [wrong]) == [wrong]
