"""What the README installs on a host is all that the agent imports; this environment has more, and hides a gap."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, pkgutil, sys
import kvmagent
for module in pkgutil.walk_packages(kvmagent.__path__, "kvmagent."):
    if module.name != "kvmagent.__main__":
        importlib.import_module(module.name)
from celery.concurrency import solo
"""


def test_the_agent_imports_nothing_that_its_requirements_do_not_bring(tmp_path: Path) -> None:
    listed = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/agent.txt").read_text(), re.MULTILINE)
    assert len(listed) > 20
    for name in listed:
        link_package(name, tmp_path)
    # -S: without this environment's own packages.
    done = subprocess.run(
        [sys.executable, "-S", "-c", IMPORT_ALL],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def link_package(name: str, directory: Path) -> None:
    try:
        found = files(name) or []
    except PackageNotFoundError:  # for another system, or for an older Python
        return
    for file in found:
        top = file.parts[0]
        if top not in {"..", "__pycache__"} and not (directory / top).is_symlink():
            (directory / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
