"""The agent speaks English at the host, whatever the shell's language: the panel translates its sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.test_commands import ACTION

COMMANDS = [["plan"], ["apply"], ["apply", "--json"]]


def said_by(language: str, arguments: list[str]) -> tuple[int, str]:
    environment = {**os.environ, "LANG": f"{language}.UTF-8", "LC_ALL": f"{language}.UTF-8", "LANGUAGE": language}
    command = [sys.executable, "-m", "kvmagent", *arguments, "--uri", "test:///default"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_agent_speaks_english_in_a_vietnamese_shell(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "action.json"
    file.write_text(json.dumps(ACTION))
    spoken = said_by("vi_VN", [*command, str(file)])
    assert spoken == said_by("C", [*command, str(file)])
    assert "Define the network" in spoken[1]
    assert spoken[1].isascii()
