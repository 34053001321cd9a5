"""The guard puts the host back whatever becomes of the agent, and exactly so. Its host's only cable is what is changed.

Rows 1, 3 and 4 of the reliability figures: killed at each point, broken changes, and nobody left but the guard.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyroute2
import pytest

import kvmagent
from kvmagent.arming import confirm_seconds
from tests.agent.cabled_host import CabledHost, needs_root, wait_until
from tests.agent.change import FAULTS, KINDS, ask
from virtnet.guarding import window

SOAK = os.environ.get("KVMPANEL_SOAK") == "1"
WINDOW = 3.0  # seconds
HIDING = 9.0  # seconds, for what a test does in the guard's namespaces
THE_CHANGE = "the change in question"
MADE_FIRST = {"remove"}  # kinds of change that begin with the bridge

pytestmark = [pytest.mark.waits, pytest.mark.timeout(300)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CabledHost]:
    needs_root()
    with CabledHost(tmp_path, seconds=WINDOW) as host:
        yield host


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[CabledHost]:
    """One whose window is still open after all that a test does in it."""
    needs_root()
    with CabledHost(tmp_path, seconds=60) as host:
        yield host


@pytest.mark.parametrize("what", ["make", "remove"])
@pytest.mark.parametrize("verdict", ["undo", "never"])
def test_without_a_good_word_all_is_as_before(host: CabledHost, what: str, verdict: str) -> None:
    if what == "remove":
        assert host.outcome("make") == "applied"
    before = host.snapshot()
    with host.probe() as probes:
        assert host.outcome(what, "--verdict", verdict) == "undone"
    assert host.differences(before) == []
    assert probes.sessions_held


class Counting:
    """Takes each verb of a change, does none."""

    def __init__(self) -> None:
        self.verbs = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def count(*_arguments: object, **_named: object) -> None:
            self.verbs += 1

        return count


def points(what: str) -> range:
    """One before and one after each verb of this kind of change, whatever verbs it has."""
    counting = Counting()
    ask(what, counting)
    return range(1, 2 * counting.verbs + 1)


# With the move done or not, with neighbours that know each other and with others; the long form takes every point.
SHORT = {
    ("make", 2, True),
    ("make", 8, True),
    ("make", 9, False),
    ("change", 8, False),
    ("remove", 3, False),
    ("remove", 5, True),
    ("vfs", 6, True),
}
# Where the process of the agent dies, and whether the neighbours know each other then.
POINTS = [
    (what, point, cold)
    for what in KINDS
    for point in points(what)
    for cold in (True, False)
    if SOAK or (what, point, cold) in SHORT
]


@pytest.mark.parametrize(("what", "point", "cold"), POINTS)
def test_killed_at_any_point_the_host_is_reached_and_in_the_old_or_the_new_state(
    host: CabledHost, what: str, point: int, cold: bool
) -> None:
    if what in MADE_FIRST:
        assert host.outcome("make") == "applied"
    before = host.snapshot()
    assert host.change(what, "--kill", str(point), "--verdict", "keep", "--owner", THE_CHANGE) == []
    if cold:
        host.forget_neighbours(host.name, "eth0", "br0")
    # Not only once the guard has been at work: nothing is ever half done.
    assert host.is_reached()
    wait_until(host.guard_is_over, WINDOW + 2)
    assert host.is_reached()
    is_new = _was_kept(host)
    if what == "vfs":
        assert host.differences(before) == []
        assert _numvfs(host) == ("4" if is_new else "2")
    else:
        assert (host.differences(before) != []) == is_new


def _numvfs(host: CabledHost) -> str:
    """As it was last written, by the agent or by its guard."""
    return (host.state / "card/net/eth0/device/sriov_numvfs").read_text().strip()


def _was_kept(host: CabledHost) -> bool:
    """The guard's last word may be of the bridge that was made first, where the change has not armed it."""
    outcome = host.state / "guard" / "outcome.json"
    word = json.loads(outcome.read_text()) if outcome.exists() else {}
    return (word.get("owner"), word.get("state")) == (THE_CHANGE, "kept")


@pytest.mark.parametrize("what", ["make", "remove"])
def test_an_agent_that_was_killed_goes_on_in_the_same_window_and_arms_no_second_guard(
    patient: CabledHost, what: str
) -> None:
    host = patient
    if what == "remove":
        assert host.outcome("make") == "applied"
    before = host.snapshot()
    point = "9" if what == "make" else "5"  # the links are moved, and nobody has said anything yet
    assert host.change(what, "--kill", point, "--owner", "the order") == []
    plan = (host.state / "guard" / "plan.json").read_bytes()
    assert host.outcome(what, "--owner", "the order") == "applied"
    assert (host.state / "guard" / "plan.json").read_bytes() == plan
    assert host.guard_outcome() == "kept"
    assert host.differences(before) != []


def test_an_agent_that_comes_too_late_finds_the_old_network_and_says_so(host: CabledHost) -> None:
    before = host.snapshot()
    assert host.change("make", "--kill", "9", "--owner", "the order") == []
    wait_until(host.guard_is_over, WINDOW + 2)
    assert host.outcome("make", "--owner", "the order") == "undone"
    assert host.differences(before) == []


def test_what_was_kept_and_lost_in_a_power_cut_is_armed_and_made_once_more(patient: CabledHost) -> None:
    host = patient
    guard = host.state / "guard"
    assert host.outcome("make", "--owner", "the order") == "applied"
    made, kept = host.snapshot(), {name: (guard / name).read_text() for name in ("plan.json", "outcome.json")}
    assert host.outcome("remove") == "applied"
    for name, text in kept.items():  # as the disk has them after the next start: the bridge was not written yet
        (guard / name).write_text(re.sub('"boot": "[^"]*"', '"boot": "the one before"', text))
    assert host.outcome("make", "--owner", "the order") == "applied"
    assert host.differences(made) == []
    assert host.guard_outcome() == "kept"


def test_one_change_is_armed_at_a_time(patient: CabledHost) -> None:
    host = patient
    assert host.change("make", "--kill", "9", "--owner", "the first") == []
    told = host.run([sys.executable, "-m", "tests.agent.change", "remove", "--owner", "the second"])
    assert "Another change of this host waits for its confirmation" in told


def test_a_bridge_that_speaks_stp_gets_a_window_longer_than_its_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = 2 * 15  # seconds: listening and learning, each for the kernel's own forward delay
    monkeypatch.setenv("KVMAGENT_CONFIRM_SECONDS", "3")
    assert window(confirm_seconds(), mute=silence) >= 1.5 * silence
    assert window(confirm_seconds(), mute=0) == 3


@pytest.mark.parametrize(("unit", "is_there"), [("of systemd", True), ("", False)])
def test_with_the_few_capabilities_of_its_unit_the_agent_still_has_systemd_start_the_guard(
    unit: str, is_there: bool
) -> None:
    needs_root()
    (few,) = re.findall("CapabilityBoundingSet=(.*)", (Path(kvmagent.__file__).parent / "kvmagent.service").read_text())
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in few.split())
    asks = "from kvmagent.arming import is_in_the_machine_s_namespace as is_there; print(is_there())"
    environment = {name: value for name, value in os.environ.items() if name != "INVOCATION_ID"}
    done = subprocess.run(
        ["setpriv", f"--bounding-set=-all,{kept}", sys.executable, "-c", asks],
        env=environment | ({"INVOCATION_ID": unit} if unit else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(is_there)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("round_number", range(25 if SOAK else 1))
def test_a_broken_change_is_back_by_the_deadline_and_identical(host: CabledHost, fault: str, round_number: int) -> None:
    before = host.snapshot()
    assert host.outcome("make", "--fault", fault, "--verdict", "never") == "undone"
    assert host.guard_was_late() < 1
    assert host.differences(before) == []
    assert host.is_reached()


@pytest.mark.parametrize("round_number", range(20 if SOAK else 1))
def test_a_cable_that_leads_nowhere_is_left_by_the_deadline(host: CabledHost, round_number: int) -> None:
    before = host.snapshot()
    change = subprocess.Popen(
        ["ip", "netns", "exec", host.name, sys.executable, "-m", "tests.agent.change", "make", "--verdict", "never"],
        env=host.environment,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: "br0" in host.run(["ip", "-br", "link"]))
    host.run(["ip", "link", "set", "eth0", "down"], where=host.lan)
    change.wait(30)
    assert host.guard_was_late() < 1
    host.run(["ip", "link", "set", "eth0", "up"], where=host.lan)
    host.run(["ip", "address", "replace", "2001:db8::1/64", "dev", "eth0", "nodad"], where=host.lan)
    wait_until(host.is_reached)
    assert host.differences(before) == []


@pytest.fixture
def unhurried(tmp_path: Path) -> Iterator[CabledHost]:
    """One whose window is open for long enough to look into the guard, and ends while a test waits for it."""
    needs_root()
    with CabledHost(tmp_path, seconds=HIDING + WINDOW) as host:
        yield host


@pytest.mark.parametrize("round_number", range(20 if SOAK else 2))
def test_with_nobody_left_and_pyroute2_unreadable_the_guard_brings_the_old_network_back(
    unhurried: CabledHost, round_number: int, tmp_path: Path
) -> None:
    host = unhurried
    before = host.snapshot()
    assert host.change("make", "--kill", "9" if round_number % 2 else "10") == []
    (guard,) = _guards(host)
    _hide_pyroute2(guard, tmp_path / "nothing")
    assert host.is_reached()
    wait_until(host.guard_is_over, HIDING + WINDOW + 2)
    assert host.guard_was_late() < 1
    assert host.guard_outcome() == "restored"
    assert host.differences(before) == []
    assert host.is_reached()


def _hide_pyroute2(pid: int, empty: Path) -> None:
    """From this process, in its own mount namespace: an empty directory lies over the package."""
    empty.mkdir()
    there = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", f"--net=/proc/{pid}/ns/net"]
    imports = [*there, sys.executable, "-c", "from pyroute2 import IPRoute"]
    subprocess.run(imports, check=True)
    assert os.stat(f"/proc/{pid}/ns/mnt").st_ino != os.stat("/proc/self/ns/mnt").st_ino
    subprocess.run([*there, "mount", "--bind", str(empty), str(Path(pyroute2.__file__).parent)], check=True)
    assert subprocess.run(imports, check=False, capture_output=True).returncode == 1


def test_what_was_kept_at_the_host_s_terminal_in_the_last_moment_stays(patient: CabledHost) -> None:
    host = patient
    command = ["ip", "netns", "exec", host.name, sys.executable, "-m", "tests.agent.change", "make"]
    change = subprocess.Popen([*command, "--verdict", "late"], env=host.environment, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: "10.9.0.2/24" not in host.run(["ip", "address", "show", "dev", "eth0"]))
    assert "The change stays" in host.run([sys.executable, "-m", "kvmagent", "keep"])
    said, _ = change.communicate(timeout=30)
    assert '"outcome": "applied"' in said
    assert host.guard_outcome() == "kept"
    assert "10.9.0.2/24" in host.run(["ip", "address", "show", "dev", "br0"])


@pytest.mark.parametrize("point", [2, 6])  # before the bridge is made, and once eth0 is its port
def test_an_agent_that_stalls_until_the_guard_has_taken_it_back_leaves_nothing(host: CabledHost, point: int) -> None:
    before = host.snapshot()
    assert host.outcome("make", "--stall", str(point)) == "undone"
    assert host.guard_outcome() == "restored"
    assert host.differences(before) == []


def test_a_guard_that_is_ended_puts_the_network_back_first(patient: CabledHost) -> None:
    host = patient
    before = host.snapshot()
    assert host.change("make", "--kill", "9") == []
    (guard,) = _guards(host)
    os.kill(guard, signal.SIGTERM)
    wait_until(host.guard_is_over, 2)
    assert host.differences(before) == []


def test_a_guard_that_was_killed_leaves_its_work_to_the_next_agent(patient: CabledHost) -> None:
    host = patient
    before = host.snapshot()
    assert host.change("make", "--kill", "9", "--owner", "the order") == []
    (guard,) = _guards(host)
    os.kill(guard, signal.SIGKILL)
    assert host.outcome("make", "--owner", "the order") == "undone"
    assert host.differences(before) == []


RESTORE_LOST = [sys.executable, "-c", "from kvmagent import arming; arming.restore_lost(); print(arming.find()[1:])"]


def test_what_a_killed_guard_has_left_is_put_back_when_the_agent_starts(patient: CabledHost) -> None:
    host = patient
    before = host.snapshot()
    _leave_without_guard(host)
    assert "restored" in host.run(RESTORE_LOST)
    assert host.differences(before) == []


def test_what_a_killed_guard_has_left_long_ago_stays_as_it_is(patient: CabledHost) -> None:
    host = patient
    _leave_without_guard(host)
    file = host.state / "guard" / "plan.json"
    plan = json.loads(file.read_text())
    file.write_text(json.dumps({**plan, "deadline": plan["deadline"] - 3600}))
    found = host.snapshot()
    assert "restored" in host.run(RESTORE_LOST)
    assert host.differences(found) == []
    assert host.outcome("remove") == "applied"
    assert "10.9.0.2/24" in host.run(["ip", "address", "show", "dev", "eth0"])


def _leave_without_guard(host: CabledHost) -> None:
    assert host.change("make", "--kill", "9") == []
    (guard,) = _guards(host)
    os.kill(guard, signal.SIGKILL)


def _guards(host: CabledHost) -> list[int]:
    return [pid for pid in host.pids() if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
