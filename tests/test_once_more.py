"""What failed once is run once more and named; a claim that is broken fails all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once_more import AT_MOST

# `made`: how many times the fixture of this scope was made so far, over both runs.
FLAKY = """
import pathlib, pytest

def count(name):
    file = pathlib.Path(__file__).with_name(name)
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    return len(file.read_text())

@pytest.fixture(scope="{scope}")
def made():
    return count("made")

def test_steady(made):
    assert count("steady") == 1, "what has passed is not run again"

def test_flaky(made):
    assert made == 2, "the fixture of the first run has gone bad"
"""


@pytest.mark.parametrize(
    ("scope", "arguments"), [("module", []), ("session", []), ("module", ["-n", "2", "--dist", "loadfile"])]
)
def test_what_passes_the_second_time_passes_and_is_named(tmp_path: Path, scope: str, arguments: list[str]) -> None:
    (tmp_path / "test_it.py").write_text(FLAKY.format(scope=scope))

    done = once_more(tmp_path, *arguments)

    assert done.returncode == 0, done.stdout
    assert "FAILED ONCE, and passed when run again, alone:\n      test_it.py::test_flaky\n" in done.stdout
    assert (tmp_path / "notes").read_text() == "test_it.py::test_flaky\n"


def test_a_broken_claim_fails_twice(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_broken():\n    assert False\n")

    done = once_more(tmp_path)

    assert done.returncode == 1
    assert done.stdout.count("1 failed") == 2
    assert not (tmp_path / "notes").exists()


def test_skipped_the_second_time_is_not_passed(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pathlib, pytest\n"
        "def test_it():\n"
        "    file = pathlib.Path(__file__).with_name('been')\n"
        "    if file.exists():\n"
        "        pytest.skip('not now')\n"
        "    file.touch()\n"
        "    assert False\n"
    )
    assert once_more(tmp_path).returncode == 1


def test_many_failures_are_no_accident(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        f"@pytest.mark.parametrize('number', range({AT_MOST + 1}))\n"
        "def test_broken(number):\n"
        "    assert False\n"
    )
    done = once_more(tmp_path)

    assert done.returncode == 1
    assert done.stdout.count(f"{AT_MOST + 1} failed") == 1


def test_what_is_no_test_s_failure_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import nothing_of_this_name\n")
    assert once_more(tmp_path).returncode == 2


def test_all_green_is_run_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_good():\n    pass\n")
    done = once_more(tmp_path)
    assert (done.returncode, done.stdout.count("1 passed")) == (0, 1)


def once_more(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program over the tests of this directory, with no setting of this project's and none of this run's."""
    (directory / "pytest.ini").write_text("[pytest]\n")
    root = Path(__file__).parents[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, "PYTHONPATH": str(root), "KVMPANEL_FAILED_ONCE": str(directory / "notes")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # of the plugins it needs one, and each takes time to load
    return subprocess.run(
        [sys.executable, "-m", "tests.once_more", "-p", "xdist.plugin", "-q", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
