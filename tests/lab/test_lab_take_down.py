"""Taking a lab down: all of it, nothing else, whatever happened to the process that put it up."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import Lab, LabError, LabMachine, namespaces, processes
from lab import state as record
from tests.lab.pings import before_long

pytestmark = pytest.mark.lab

ROOT_SYSCTLS = ("net/ipv4/ip_forward", "net/ipv4/conf", "net/ipv6/conf", "net/bridge")


def pings(machine: LabMachine, other: LabMachine) -> bool:
    return machine.run(["ping", "-c1", "-W2", str(other.address)], check=False).returncode == 0


def machine_state() -> dict[str, str]:
    """What a lab could leave behind in the machine's own namespaces."""
    commands = {
        "links": ["ip", "-j", "-d", "link"],
        "addresses": ["ip", "-o", "addr"],
        "rules": ["ip", "rule"],
        "routes": ["ip", "route", "show", "table", "all"],
        "nftables": ["nft", "list", "ruleset"],
    }
    found = {
        name: subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for name, command in commands.items()
    }
    for name in ROOT_SYSCTLS:
        path = Path("/proc/sys") / name
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and os.access(file, os.R_OK) and file.name != "stable_secret":  # unreadable while unset
                found[str(file)] = file.read_text()
    found["libvirt"] = str(sorted(Path("/run/libvirt").glob("*")))
    found["mounts"] = "\n".join(
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/run/netns" not in line
    )
    return found


def wait_for_line(process: "subprocess.Popen[str]", wanted: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted in line:
            return
    pytest.fail(f"the process ended before it said {wanted!r}")


@contextmanager
def other_process(code: str) -> Iterator["subprocess.Popen[str]"]:
    """Another Python that runs `code`; killed with SIGKILL at the end, as a lab's process may be."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
        assert process.stdout is not None
        process.stdout.close()  # not read to its end: what the lab started holds it too


def command_line(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def test_a_killed_lab_goes_whole_and_leaves_the_machine_as_it_was(lab: Lab) -> None:
    before = machine_state()
    prefix = f"k{os.getpid()}"
    code = f"""if True:
        import signal, subprocess
        from lab import Lab
        with Lab({prefix!r}, hosts=1) as lab:
            host = lab.hosts[0]
            host.libvirt().networkLookupByName("default").create()
            host.guests[0].start()
            host.popen(["unshare", "--net", "--mount", "tail", "-f", "/dev/null"], stdout=subprocess.DEVNULL)
            print("all up", flush=True)
            signal.pause()
        """
    with other_process(code) as process:
        wait_for_line(process, "all up")
        state = record.load(prefix)
        assert state is not None
        assert machine_state() == before
        assert command_line("down", "--prefix", prefix).returncode == 1  # in use
        with pytest.raises(LabError, match=f"process {process.pid} uses it"):
            Lab(prefix, hosts=1).up()
    inodes = namespaces.inodes(state)
    names = {
        Path(f"/proc/{found.pid}/comm").read_text().strip()
        for found in processes.belonging(inodes=inodes, mark=state.mark)
    }
    assert {"libvirtd", "virtlogd", "dnsmasq", "qemu-system-x86", "tail", "busybox"} <= names
    down = command_line("down", "--prefix", prefix)
    assert (down.returncode, down.stdout) == (0, f"lab “{prefix}” is down\n")
    assert processes.belonging(inodes=inodes, mark=state.mark) == []
    assert [path.name for path in namespaces.DIRECTORY.glob(f"{prefix}-*")] == []
    assert not state.directory.exists()
    assert machine_state() == before
    assert before_long(pings, lab.client, lab.hosts[0])  # the other lab, up all the while, is untouched


@pytest.mark.parametrize("part", ["LAN, router", "panel, client", "hosta:", "hostb:"])
def test_a_lab_killed_while_it_goes_up_is_cleared_by_the_next(part: str) -> None:
    before = machine_state()
    prefix = f"u{os.getpid()}"
    code = f"from lab import Lab; Lab({prefix!r}).up(lambda part: print(part, flush=True))"
    with other_process(code) as process:
        wait_for_line(process, part)
    parts: list[str] = []
    lab = Lab(prefix, hosts=1, guests_per_host=0)
    lab.up(parts.append)
    assert parts[0] == "remove what a killed lab left"
    assert before_long(pings, lab.hosts[0], lab.internet)
    lab.down()
    lab.down()  # safe to repeat
    assert [path.name for path in namespaces.DIRECTORY.glob(f"{prefix}-*")] == []
    assert machine_state() == before


def test_a_lab_that_was_left_up_is_found_used_and_taken_down_by_command() -> None:
    prefix = f"c{os.getpid()}"
    try:
        assert command_line("up", "--prefix", prefix, "--hosts", "1", "--guests", "0").returncode == 0
        second = command_line("up", "--prefix", prefix)
        assert second.returncode == 1
        assert f"Run: python -m lab down --prefix {prefix}" in second.stderr
        assert "left up" in command_line("status", "--prefix", prefix).stdout
        answer = command_line("run", "--prefix", prefix, "hosta", "sh", "-c", "hostname; exit 7")
        assert (answer.returncode, answer.stdout) == (7, "hosta\n")
        assert "Choose one of" in command_line("run", "--prefix", prefix, "hostz", "true").stderr
    finally:
        assert command_line("down", "--prefix", prefix).returncode == 0
    assert command_line("status", "--prefix", prefix).returncode == 1


def test_it_refuses_a_namespace_that_it_did_not_make_and_leaves_it_alone() -> None:
    prefix = f"f{os.getpid()}"
    foreign = f"{prefix}-hosta"
    subprocess.run(["ip", "netns", "add", foreign], check=True)
    try:
        with pytest.raises(LabError, match=f"{foreign} exists that this lab did not make.*ip netns delete"):
            Lab(prefix, hosts=1).up()
        assert [path.name for path in namespaces.DIRECTORY.glob(f"{prefix}-*")] == [foreign]
        assert record.load(prefix) is None
    finally:
        subprocess.run(["ip", "netns", "delete", foreign], check=True)


def test_a_pid_that_was_given_out_again_is_not_killed() -> None:
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        known = processes.identify(bystander.pid)
        assert known is not None
        processes.end(processes.ProcessId(known.pid, known.start - 1))
        assert bystander.poll() is None
        processes.end(known)
        assert bystander.wait(timeout=5) == -signal.SIGKILL
