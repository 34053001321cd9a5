"""The rules for what may come in, in a kernel's own bridge: frame by frame, at a tap that this process holds."""

from __future__ import annotations

import subprocess

import pytest

from tests.agent.inbound_frames import MAC, OPEN, look
from virtnet.inbound import InboundPolicy, read_ports, ruleset

pytestmark = pytest.mark.usefixtures("own_network")

UNDER_A_POLICY = {
    "syn to the open port": True,
    "syn to the closed port": False,
    "datagram that nobody asked for": False,
    "answer to the guest's datagram": True,
    "datagram from another port": False,
    "broadcast": False,
}
RULES = ruleset({MAC: InboundPolicy(open=(read_ports(f"{OPEN}/tcp"),))})


def test_only_what_is_listed_and_what_was_asked_for_comes_through() -> None:
    assert look(RULES) == UNDER_A_POLICY


def test_without_a_policy_everything_comes_through() -> None:
    assert set(look("").values()) == {True}


def test_nft_lists_the_rules_as_they_were_written() -> None:
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)
    listed = subprocess.run(
        ["nft", "--stateless", "--terse", "list", "table", "bridge", "kvmpanel"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    written = [line for line in RULES.splitlines() if not line.startswith(("add ", "delete "))]
    assert [line for line in listed.splitlines() if line] == written
