"""kvmagent facts, plan and apply, on libvirt's test driver."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import libvirt as bindings
import pytest

from kvmagent.__main__ import main
from kvmagent.commands.action_file import EXAMPLE, read_action
from tests.agent.cabled_host import needs_root
from virtnet.facts import HostFacts
from virtnet.messages import Step

TEST = ["--uri", "test:///default"]
ACTION = {
    "action": "define-network",
    "network": {"uuid": "00000000-0000-4000-8000-000000000001", "name": "office"},
    "spec": {"mode": "nat", "name": "office", "bridge": "virbr77", "gateway": "10.231.1.1/24"},
}


@pytest.fixture
def driver() -> Iterator[bindings.virConnect]:
    """Keeps the memory of test:///default alive between the commands of one test."""
    connection = bindings.open("test:///default")
    yield connection
    for network in connection.listAllNetworks():
        if network.name() == "office":
            if network.isActive():
                network.destroy()
            network.undefine()
    connection.close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "action.json"
    path.write_text(json.dumps(ACTION))
    return str(path)


def networks(driver: bindings.virConnect) -> list[str]:
    return sorted(network.name() for network in driver.listAllNetworks())


def test_facts_prints_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", *TEST]) == 0
    found = HostFacts.model_validate_json(capsys.readouterr().out)
    assert [network.name for network in found.networks] == ["default"]
    assert [domain.name for domain in found.domains] == ["test"]


def test_facts_prints_what_is_left_while_libvirtd_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", "--uri", "qemu+unix:///system?socket=/nonexistent/sock"]) == 1
    said = capsys.readouterr()
    assert HostFacts.model_validate_json(said.out).libvirt_error is not None
    assert said.err == ""  # libvirt itself prints nothing


def test_plan_shows_each_step_and_touches_nothing(
    driver: bindings.virConnect, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", file, *TEST]) == 0
    said = capsys.readouterr().out
    assert "1. Define the network office.\n   $ virsh net-define --validate office.xml\n   | <network" in said
    assert 'iifname "virbr77" ip saddr 10.231.1.0/24 accept' in said
    assert "$ virsh net-start office" in said
    assert networks(driver) == ["default"]


def test_plan_shows_what_stands_in_the_way(
    driver: bindings.virConnect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.json"
    taken.write_text(json.dumps(ACTION).replace("virbr77", "virbr0"))
    assert main(["plan", str(taken), "--json", *TEST]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [problem["field"] for problem in said["problems"]] == ["bridge"]
    assert len(said["steps"]) == 4


def test_apply_does_it_and_tells_each_step(
    driver: bindings.virConnect, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", file, "--json", *TEST]) == 0
    steps = [Step.model_validate_json(line) for line in capsys.readouterr().out.splitlines()]
    assert [step.outcome for step in steps] == ["done", "done", "already-so", "done"]
    assert networks(driver) == ["default", "office"]
    assert driver.networkLookupByName("office").isActive()


def test_apply_in_words(driver: bindings.virConnect, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", file, *TEST]) == 0
    said = capsys.readouterr()
    assert "done  Define the network office.\n" in said.out
    assert said.err == "applied.\n"


def test_apply_refuses_before_it_touches_anything(
    driver: bindings.virConnect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.json"
    taken.write_text(json.dumps(ACTION).replace("virbr77", "virbr0"))
    assert main(["apply", str(taken), *TEST]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "virbr0 is the bridge of the network default" in said.err
    assert networks(driver) == ["default"]


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("not json", "Invalid JSON"),
        ('{"action": "reboot"}', "reboot"),
        (json.dumps(ACTION).replace("10.231.1.1/24", "10.231.1.0/24"), "not a host's address"),
        (json.dumps({**ACTION, "force": True}), "force"),
    ],
)
def test_a_file_that_holds_no_action_is_explained(
    command: str, written: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.json"
    path.write_text(written)
    assert main([command, str(path), *TEST]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def test_the_example_that_is_shown_then_is_an_action(tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_text(EXAMPLE)
    assert read_action(str(path)).action == "define-network"


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "/nonexistent.json"]) == 2
    assert "/nonexistent.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["keep", "undo"])
def test_who_may_not_look_is_told_to_be_root(tmp_path: Path, command: str) -> None:
    """The window is a minute: a traceback would cost half of it. Root without its rights is as good as anybody."""
    needs_root()
    (tmp_path / "guard").mkdir()
    shutil.chown(tmp_path, "nobody")
    tmp_path.chmod(0o700)
    done = subprocess.run(
        ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-m", "kvmagent", command],
        env=os.environ | {"KVMAGENT_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(" cannot be read. Run kvmagent as root.\n")
    assert "Traceback" not in done.stderr
