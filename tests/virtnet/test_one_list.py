"""MODES is the only list of modes, and each mode says all that a mode must say."""

from __future__ import annotations

import ast
import typing
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

import virtnet.modes
from tests.virtnet.samples import CASES, OFFICE
from virtnet.libvirt_xml import parse
from virtnet.modes import MODES, AnySpec, read_spec, spec_adapter
from virtnet.spec import NetworkSpec
from virtnet.text import Text

ROOT = Path(virtnet.modes.__file__).parents[2]
SAID = [name for name, hint in NetworkSpec.__annotations__.items() if str(hint).startswith("ClassVar")]
METHODS = ("matches", "problems", "reachability", "libvirt_xml", "apply", "update", "remove")


def test_modes_any_spec_and_the_adapter_hold_the_same_modes() -> None:
    union = get_args(AnySpec)[0]
    assert set(get_args(union)) == set(MODES.values())
    with pytest.raises(ValidationError) as refused:
        spec_adapter.validate_python({"mode": "wormhole"})
    expected = refused.value.errors()[0]["ctx"]["expected_tags"]
    assert {tag.strip(" '") for tag in expected.split(",")} == set(MODES)


def test_each_file_of_modes_holds_one_mode_of_the_list() -> None:
    files = {path.stem for path in Path(virtnet.modes.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {kind.__module__.rpartition(".")[2] for kind in MODES.values()}
    assert len(files) == len(MODES)


@pytest.mark.parametrize("mode", MODES)
def test_its_key_is_its_mode(mode: str) -> None:
    assert MODES[mode].model_fields["mode"].default == mode


@pytest.mark.parametrize("mode", MODES)
def test_it_says_all_that_a_mode_must_say(mode: str) -> None:
    kind = MODES[mode]
    assert len(SAID) == 9
    for name in SAID:
        assert name in vars(kind), f"{mode} does not say {name}"
        assert getattr(kind, name)


@pytest.mark.parametrize("mode", MODES)
def test_it_does_all_that_a_mode_must_do(mode: str) -> None:
    assert [name for name in METHODS if name not in vars(MODES[mode])] == []


@pytest.mark.parametrize("mode", MODES)
def test_each_field_has_a_title_for_the_form(mode: str) -> None:
    fields = {name: field for name, field in MODES[mode].model_fields.items() if name != "mode"}
    assert [name for name, field in fields.items() if not field.title] == []
    assert any(field.default is PydanticUndefined for field in fields.values())


@pytest.mark.parametrize("mode", MODES)
def test_its_file_is_shorter_than_200_lines(mode: str) -> None:
    source = Path(virtnet.modes.__file__).parent / f"{mode.replace('-', '_')}.py"
    assert len(source.read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("case", CASES)
def test_each_answer_has_its_reason(case: str) -> None:
    rows = CASES[case].reachability().rows()
    assert len(rows) == 5
    assert all(isinstance(answer.because, Text) and str(answer.because).endswith(".") for _, answer in rows)


@pytest.mark.parametrize("case", CASES)
def test_the_spec_in_its_own_metadata_reads_back_the_same(case: str) -> None:
    spec = CASES[case]
    assert read_spec(spec.model_dump_json()) == spec


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("nat")])
def test_exactly_its_own_mode_knows_its_document(case: str) -> None:
    document = parse(CASES[case].libvirt_xml(OFFICE))
    assert [mode for mode, kind in MODES.items() if kind.matches(document)] == [CASES[case].mode]


def _comparisons_of_mode(path: Path) -> list[int]:
    """Lines that compare something called `mode` with a mode's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            names = {child.value for side in sides for child in ast.walk(side) if isinstance(child, ast.Constant)}
            asked = any(
                getattr(child, "attr", getattr(child, "id", "")) == "mode" for side in sides for child in ast.walk(side)
            )
            if asked and names & set(MODES):
                found.append(node.lineno)
        if isinstance(node, ast.Match) and getattr(node.subject, "attr", getattr(node.subject, "id", "")) == "mode":
            found.append(node.lineno)
    return found


def test_nothing_else_asks_which_mode_it_is() -> None:
    packages = ("virtnet", "kvmagent", "kvmpanel", "pages", "hosts", "networks", "audit", "team")
    sources = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(sources) > 20
    elsewhere = [path for path in sources if path.parent != Path(virtnet.modes.__file__).parent]
    assert {str(path.relative_to(ROOT)): lines for path in elsewhere if (lines := _comparisons_of_mode(path))} == {}


def test_the_search_finds_such_a_question(tmp_path: Path) -> None:
    asking = tmp_path / "asking.py"
    asking.write_text(
        'if spec.mode == "nat":\n    pass\nif mode in ("bridge", "x"):\n    pass\nif mode == "r":\n    pass\n'
    )
    assert _comparisons_of_mode(asking) == [1, 3]


def test_every_class_var_is_known_to_typing() -> None:
    hints = typing.get_type_hints(NetworkSpec, include_extras=True)
    assert set(SAID) <= set(hints)
