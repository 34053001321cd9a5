"""The guard as a process: one at a time, until its change is decided, and whatever it is told.

Its way back is a line in a file here, so that it can be counted; test_guard.py has a host that is put back.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmagent import arming, guard
from kvmagent.arming import Armed, GuardFailed
from kvmagent.guard import OUTCOME, SOCKET, Batch, Run, boot_clock
from tests.agent.cabled_host import wait_until

pytestmark = [pytest.mark.usefixtures("own_network"), pytest.mark.timeout(60)]

PATIENT = 300.0  # seconds of a window that no test waits for


class Guards:
    """Where they lie, and what they have done: a line for each time that one has put all back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "guard"
        self.done = directory / "done"
        self.done.touch()

    def says(self, word: str, seconds: float = 0) -> Run:
        return Run(do="run", command=["sh", "-c", f"sleep {seconds}; echo {word} >> {self.done}"])

    def armed(self, owner: str = "an order", seconds: float = PATIENT) -> Armed:
        return Armed(owner, "person", boot_clock() + seconds, ("eth0",), {}, [self.says("restored")])

    def start(self) -> subprocess.Popen[str]:
        """One by hand, on whatever plan is there."""
        command = [sys.executable, "-I", "-S", guard.__file__, str(self.directory)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def pids(self) -> list[int]:
        wanted = str(self.directory).encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (process / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def send(self, what: str) -> str:
        """What the guard answers to a line of any kind."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.socket())
            client.sendall(f"{what}\n".encode())
            return client.makefile().readline()

    def socket(self) -> str:
        """A path of at most 107 characters, as long as this process lives."""
        return f"/proc/self/fd/{os.open(self.directory, os.O_PATH)}/{SOCKET}"


@pytest.fixture
def guards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guards]:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path))
    found = Guards(tmp_path)
    yield found
    for pid in found.pids():
        os.kill(pid, signal.SIGKILL)


def test_a_second_guard_does_not_start_beside_the_one_that_stands(guards: Guards) -> None:
    arming.arm(guards.armed())
    with guards.start() as second:
        _, said = second.communicate(timeout=30)
    assert (second.returncode, said.strip()) == (1, "the guard of another change is still there")
    arming.keep("a person")
    assert arming.find()[1] == "kept"


def test_changes_one_after_the_other_each_have_their_guard(guards: Guards) -> None:
    for number in range(5):
        arming.arm(guards.armed(f"order {number}"))
        arming.keep("a person")
    assert guards.done.read_text() == ""


def test_a_guard_that_comes_when_its_change_is_over_goes_again(guards: Guards) -> None:
    arming.arm(guards.armed())
    arming.keep("a person")
    with guards.start() as late:
        _, said = late.communicate(timeout=30)
    assert (late.returncode, said.strip()) == (1, "the change is over already")
    assert guards.done.read_text() == ""


def test_a_guard_that_does_not_start_is_not_there_later(guards: Guards, monkeypatch: pytest.MonkeyPatch) -> None:
    arming.arm(guards.armed("the first"))
    monkeypatch.setattr(arming, "START_SECONDS", 0.5)
    (guards.directory / SOCKET).unlink()
    with pytest.raises(GuardFailed, match="nothing was changed"):
        arming.arm(guards.armed("the second"))
    assert len(guards.pids()) == 1
    assert arming.find()[1] == "restored"


@pytest.mark.parametrize("meanwhile", ["it was taken back", "another change was armed"])
def test_a_guard_that_was_frozen_for_too_long_does_nothing_to_what_came_after(guards: Guards, meanwhile: str) -> None:
    armed = guards.armed(seconds=4)
    arming.arm(armed)
    (pid,) = guards.pids()
    os.kill(pid, signal.SIGSTOP)
    if meanwhile == "it was taken back":
        arming.restore_here(armed, "the guard did not answer")
        assert guards.done.read_text() == "restored\n"
    else:
        arming._write_plan(guards.armed("another"))
    former = guards.done.read_text()
    wait_until(lambda: armed.left == 0)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: guards.pids() == [])
    assert guards.done.read_text() == former


def test_a_guard_that_is_ended_in_the_middle_of_a_step_does_it_and_then_puts_all_back(guards: Guards) -> None:
    arming.arm(guards.armed())
    (pid,) = guards.pids()
    step = guards.says("changed", seconds=2)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(guards.socket())
        client.sendall(f"run {json.dumps([step])}\n".encode())
        wait_until(lambda: has_child(pid, "sh"))
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: guards.pids() == [])
    assert guards.done.read_text() == "changed\nrestored\n"
    assert arming.find()[1:] == ("restored", "the guard was ended")


def test_a_link_that_was_made_anew_between_two_changes_is_the_one_that_is_meant(guards: Guards) -> None:
    """`ip` remembers for as long as it runs which link has which name."""
    arming.arm(guards.armed())
    for index in (50, 60):
        subprocess.run(["ip", "link", "add", "d0", "index", str(index), "type", "bridge"], check=True)
        assert arming.run([Batch(do="ip", options=[], lines=["link set dev d0 mtu 1400"])]) == []
        assert (
            "mtu 1400"
            in subprocess.run(["ip", "link", "show", "d0"], check=True, capture_output=True, text=True).stdout
        )
        subprocess.run(["ip", "link", "delete", "d0"], check=True)
    arming.restore("a person")


def test_no_ip_that_stood_ready_outlives_its_guard(guards: Guards) -> None:
    arming.arm(guards.armed())
    (pid,) = guards.pids()
    wait_until(lambda: has_child(pid, "ip"))
    ready = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in ready))


@pytest.mark.parametrize("nonsense", ['run [{"do": "dance"}]', "run 7", "run [7]", "run {", "", "keep"[:2], "left\0"])
def test_whatever_it_is_told_it_stays_at_its_post(guards: Guards, nonsense: str) -> None:
    arming.arm(guards.armed())
    guards.send(nonsense)
    assert arming.find()[1] == "armed"
    arming.restore("a person")
    assert guards.done.read_text() == "restored\n"


def test_a_guard_that_ends_before_it_has_answered_is_gone(guards: Guards) -> None:
    arming.arm(guards.armed())
    for pid in guards.pids():
        os.kill(pid, signal.SIGKILL)
    (guards.directory / SOCKET).unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(guards.socket())
        listening.listen()
        mute = subprocess.Popen([sys.executable, "-c", MUTE, str(listening.fileno())], pass_fds=[listening.fileno()])
        try:
            assert arming.find()[1] == "lost"
        finally:
            mute.kill()
            mute.wait()
    assert not (guards.directory / OUTCOME).exists()


# Reads a line of each that comes, and answers nothing.
MUTE = """
import socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
while True:
    with listening.accept()[0] as client:
        client.makefile().readline()
"""


def has_child(pid: int, named: str) -> bool:
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)
    return named in found.stdout.split()
