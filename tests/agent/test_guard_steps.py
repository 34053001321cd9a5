"""The guard's steps, by its own hand in a network namespace: each is done, whatever becomes of the others."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from kvmagent import guard
from kvmagent.guard import KINDS, Batch, Batches, Step

pytestmark = pytest.mark.usefixtures("own_network")

# The kernel refuses the first, `ip` itself the others: it ends then, though it was told -force.
BAD = {
    "refused": "link set dev nowhere0 up",
    "no prefix": "route add 10.0.0.0/33 dev d0",
    "no such word": "route add 10.1.0.0/24 dev d0 colour blue",
    "no such object": "rout add 10.1.0.0/24 dev d0",
    "no value": "route add 10.1.0.0/24 dev",
}


def batch(*lines: str, version: str = "") -> list[Step]:
    return [Batch(do="ip", options=[version] if version else [], lines=list(lines))]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("version", ["", "-4", "-6"])
def test_a_line_that_is_not_understood_does_not_keep_the_others_from_being_done(bad: str, version: str) -> None:
    said = guard.carry_out(batch("link add d0 type bridge", bad, "link set dev d0 mtu 1400 up", version=version))
    shown = subprocess.run(["ip", "link", "show", "dev", "d0"], check=True, capture_output=True, text=True).stdout
    assert "mtu 1400" in shown
    assert ",UP" in shown
    assert said != []


def test_what_went_well_says_nothing() -> None:
    assert guard.carry_out(batch("link add d0 type bridge", "link set dev d0 up")) == []
    assert guard.carry_out(batch("rule add iif d0 lookup 77", version="-6")) == []


def shown(link: str) -> str:
    return subprocess.run(["ip", "link", "show", "dev", link], check=True, capture_output=True, text=True).stdout


def kill(batches: Batches) -> int:
    """Each `ip` of them, without a word to them; how many."""
    for ip in batches._running.values():
        ip._process.kill()
    return len(batches._running)


def test_a_batch_after_one_that_was_not_understood_is_done_and_nothing_is_told_twice() -> None:
    steps = [*batch(BAD["no such object"]), *batch(BAD["refused"]), *batch("link add d0 type bridge")]
    said = guard.carry_out([*steps, *batch("link set dev d0 mtu 1400")])
    assert [line for line in said if "nowhere0" in line] == ['Cannot find device "nowhere0"']
    assert "mtu 1400" in shown("d0")


def test_where_the_ip_that_stood_ready_was_killed_all_is_done_by_another() -> None:
    steps = [*batch("link add d0 type bridge"), *batch("rule add iif d0 lookup 77", version="-6")]
    ready = Batches(*KINDS)
    assert kill(ready) == 2
    assert guard.carry_out([*steps, *batch("link set dev d0 mtu 1400")], ready) == []
    assert "mtu 1400" in shown("d0")


def test_where_the_ip_is_killed_between_two_batches_the_second_is_done_by_another() -> None:
    with contextlib.closing(Batches()) as batches:
        assert batches.run((), ["link add d0 type bridge"]) == []
        assert kill(batches) == 1
        assert batches.run((), ["link set dev d0 mtu 1400"]) == []
    assert "mtu 1400" in shown("d0")


def test_more_than_a_pipe_holds_is_taken_whole() -> None:
    lines = [f"link add d{number} type bridge" for number in range(3)] + [BAD["refused"]] * 3000
    assert len(guard.carry_out(batch(*lines))) >= 3000
    assert "d2" in shown("d2")
