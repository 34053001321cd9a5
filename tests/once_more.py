"""`python -m tests.once_more [ARGUMENT…]`: pytest, and what failed is run once more, alone and from the start.

For what runs on the lab's hosts and for what counts packets or milliseconds: there, a machine that others share can
fail a test whose claim holds. A claim that is broken fails twice. The second run is a pytest of its own, so each lab
and each fixture, whatever its scope, is made anew (a plugin that repeats a test inside the run would give it the
module's fixtures as the failure left them). Nothing is hidden: both runs are printed whole, and what passed only the
second time is named at the end, and in the file NOTES where that is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

AT_MOST = 10  # tests; more failures than these are no accident, and are not run again
NOTES = "KVMPANEL_FAILED_ONCE"  # in the environment: the file that the names are added to


def main() -> int:
    """0 when each test passed, at the latest the second time; else pytest's own exit code."""
    with tempfile.TemporaryDirectory(prefix="kvmpanel-once-more-") as directory:
        command = [sys.executable, "-m", "pytest", *sys.argv[1:], "-o", f"cache_dir={directory}/cache"]
        first = subprocess.call(command)
        if first != 1:  # 1: "tests were collected and run, but some of them failed"; all else is no test's failure
            return first
        failed = _failed(Path(directory))
        if len(failed) > AT_MOST:
            _tell(f"{len(failed)} tests failed: no accident, so they are not run again.")
        if not 0 < len(failed) <= AT_MOST:
            return first
        _tell("Failed, and run once more, alone:", failed)
        report = Path(directory) / "report.xml"
        # The last -n and --dist count: one after the other, in this order. Nothing to run again would be a failure too.
        again = ["--lf", "--lfnf=none", "-n", "0", "--dist", "no", f"--junitxml={report}"]
        second = subprocess.call([*command, *again])
        if second == 0 and _passed(report) != len(failed):
            _tell("Not all of them ran again: the failures stand.", failed)
            return first
    if second == 0:
        _tell("FAILED ONCE, and passed when run again, alone:", failed)
        _note(failed, os.environ.get(NOTES))
    return second


def _failed(directory: Path) -> list[str]:
    """The tests that failed, by pytest's own record."""
    record = directory / "cache" / "v" / "cache" / "lastfailed"
    return sorted(json.loads(record.read_text())) if record.exists() else []


def _passed(report: Path) -> int:
    """How many tests passed by this JUnit report; a test that was skipped the second time has not."""
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314  pytest has just written it
    return sum(1 for case in cases if not any(child.tag in {"failure", "error", "skipped"} for child in case))


def _tell(sentence: str, tests: list[str] | None = None) -> None:
    print("\n=== " + "\n      ".join([sentence, *(tests or [])]) + "\n", flush=True)


def _note(tests: list[str], path: str | None) -> None:
    if path:
        with Path(path).open("a") as file:
            file.writelines(f"{test}\n" for test in tests)


if __name__ == "__main__":
    sys.exit(main())
