"""Whatever string comes into a field that reaches nftables: it is refused, or the table is exactly as it should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import IPv4Network

import pytest
from pydantic import ValidationError

from tests.virtnet.generated import for_each_string
from virtnet.firewall import NetworkRules, ruleset

BRIDGE, SUBNET = "virbr1", IPv4Network("192.168.77.0/24")
needs_nft = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None or shutil.which("unshare") is None,
    reason="needs root, nft and unshare",
)
_AT_ONCE = 100


def expected(rules: NetworkRules) -> str:
    """The known table of a known network (tests/virtnet/test_firewall.py), with this one's bridge and subnet."""
    known = ruleset([NetworkRules(bridge=BRIDGE, subnet=SUBNET, masquerade=rules.masquerade)])
    return known.replace(BRIDGE, "\0").replace(str(SUBNET), str(rules.subnet)).replace("\0", rules.bridge)


def nft_refuses(rulesets: list[str]) -> list[str]:
    """What nft says against them, in a network namespace that is gone afterwards; each replaces the one before."""
    said = []
    for start in range(0, len(rulesets), _AT_ONCE):
        ran = subprocess.run(
            ["unshare", "--net", "nft", "--check", "--file", "-"],
            input="".join(rulesets[start : start + _AT_ONCE]),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0 or ran.stderr:
            said.append(ran.stderr or f"nft ended with {ran.returncode}")
    return said


def generate(field: str, *, masquerade: bool) -> tuple[list[str], list[str]]:
    """The tables of the accepted strings, and the refused strings."""
    tables: set[str] = set()
    refused: list[str] = []

    def generated(value: str) -> None:
        wanted = {"bridge": BRIDGE, "subnet": str(SUBNET), "masquerade": masquerade} | {field: value}
        try:
            rules = NetworkRules.model_validate_json(json.dumps(wanted))
        except ValidationError:
            refused.append(value)
            return
        table = ruleset([rules])
        assert table == expected(rules)
        tables.add(table)

    for_each_string(generated)
    return sorted(tables), refused


@needs_nft
@pytest.mark.parametrize("masquerade", [True, False], ids=["nat", "host-only"])
@pytest.mark.parametrize("field", ["bridge", "subnet"])
def test_a_field_of_the_table(field: str, masquerade: bool) -> None:
    tables, refused = generate(field, masquerade=masquerade)
    assert tables
    assert refused
    assert nft_refuses(tables) == []


@needs_nft
def test_nft_finds_a_table_that_is_wrong() -> None:
    assert nft_refuses([ruleset([]).replace("policy accept", "policy perhaps")]) != []
