"""The guard's steps, by its own hand in a network namespace: each is done, whatever becomes of the others."""

from __future__ import annotations

import subprocess

import pytest

from kvmagent import guard
from kvmagent.guard import Batch, Step

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
