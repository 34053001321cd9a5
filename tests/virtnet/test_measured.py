"""A page says "measured" of a cell only where a test with packets of a guest stands behind it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import virtnet.modes
from virtnet.modes import MODES
from virtnet.spec import NetworkSpec

ROOT = Path(virtnet.modes.__file__).parents[2]
MARKS = "pytestmark"
EXAMPLES = [example for mode in MODES.values() for example in mode.examples()]


def named_by(spec: NetworkSpec) -> set[str]:
    return {answer.measured_by for _, answer in spec.reachability().rows() if answer.measured_by is not None}


def is_a_lab_test(name: str) -> bool:
    """Whether it is there, in a file of tests/lab of which every test needs the lab's real hosts."""
    file, _, function = name.partition("::")
    path = ROOT / file
    if path.parent != ROOT / "tests/lab" or not path.is_file():
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    marks = [node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == MARKS]
    marked = any(ast.unparse(one) == "pytest.mark.lab" for mark in marks for one in getattr(mark, "elts", [mark]))
    return marked and any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.title()))
def test_the_test_behind_it_is_there(example: NetworkSpec) -> None:
    assert [name for name in named_by(example) if not is_a_lab_test(name)] == []


def test_a_test_that_is_not_there_or_needs_no_host_is_found_out() -> None:
    assert is_a_lab_test("tests/lab/test_macvtap_on_a_host.py::test_who_reaches_whom")
    assert is_a_lab_test("tests/lab/test_product_faults.py::test_no_change_is_lost_when_redis_is_emptied")
    assert not is_a_lab_test("tests/lab/test_macvtap_on_a_host.py::test_that_nobody_wrote")
    assert not is_a_lab_test("tests/lab/test_nowhere.py::test_who_reaches_whom")
    assert not is_a_lab_test("tests/virtnet/test_macvtap.py::test_who_reaches_whom")


def test_something_is_measured() -> None:
    assert sum(bool(named_by(example)) for example in EXAMPLES) >= 4
