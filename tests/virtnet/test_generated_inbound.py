"""Whatever string comes into a policy: it is refused, or the table is exactly as it should be and nft takes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.virtnet.generated import GENERATED, STRINGS, for_each_string
from tests.virtnet.test_generated_rules import needs_nft, nft_refuses
from virtnet.filter_actions import SetInboundPolicy
from virtnet.inbound import InboundPolicy, OpenPorts, read_ports, ruleset
from virtnet.text import SpecError

MAC = "52:54:00:aa:00:01"
PORTS = {"protocol": "tcp", "first": 22, "last": 65535, "sources": ["192.168.77.0/24"]}
ACTION = {
    "action": "set-inbound-policy",
    "domain": {"uuid": "aaaaaaaa-2222-4333-8444-555555555555", "name": "web1"},
    "mac": MAC,
    "policy": {"open": [PORTS], "ping": True},
}
# Lines that a person may type, and the same spoilt.
_RIGHT = st.builds(
    lambda first, last, protocol, sources: f"{first}{last}/{protocol}{sources}",
    st.integers(1, 500),
    st.sampled_from(["", "-500", "-65535", "-65536"]),
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["", " from 10.0.0.0/8", " from 2001:db8::/32, ::1", " from 192.0.2.7,0.0.0.0/0", " from ::/0"]),
)
LINES = st.one_of(_RIGHT, STRINGS, st.tuples(_RIGHT, STRINGS).map("".join), st.tuples(STRINGS, _RIGHT).map("".join))


def expected(ports: OpenPorts) -> list[str]:
    """The rules of one line, written another way than virtnet.inbound does."""
    range_ = f"{ports.first}-{ports.last}".removesuffix(f"-{ports.first}")
    sources = [str(source).removesuffix("/32" if source.version == 4 else "/128") for source in ports.sources]
    known = [
        f"ip{'6' if ':' in source else ''} saddr {source} {ports.protocol} dport {range_} accept" for source in sources
    ]
    return known or [f"{ports.protocol} dport {range_} accept"]


def rules_of(table: str, policy: InboundPolicy) -> None:
    """The table is that of an empty policy with the line's rules before the last drop, and nothing else."""
    empty = ruleset({MAC: InboundPolicy(ping=policy.ping)}).splitlines()
    last_drop = len(empty) - 1 - empty[::-1].index("\t\tdrop")
    added = [f"\t\t{rule}" for ports in policy.open for rule in expected(ports)]
    assert table.splitlines() == [*empty[:last_drop], *added, *empty[last_drop:]]


@needs_nft
def test_a_line_as_it_is_typed() -> None:
    tables: set[str] = set()
    refused: list[str] = []

    @GENERATED
    @given(LINES)
    def generated(line: str) -> None:
        try:
            ports = read_ports(line)
        except SpecError:
            refused.append(line)
            return
        table = ruleset({MAC: InboundPolicy(open=(ports,))})
        rules_of(table, InboundPolicy(open=(ports,)))
        tables.add(table)

    generated()
    assert len(tables) > 5
    assert refused
    assert nft_refuses(sorted(tables)) == []


@needs_nft
@pytest.mark.parametrize("field", [*PORTS, "mac", "ping"])
def test_a_field_as_it_comes_over_the_wire(field: str) -> None:
    tables: set[str] = set()
    refused: list[str] = []

    def generated(value: str) -> None:
        order = json.loads(json.dumps(ACTION))
        if field == "mac":
            order["mac"] = value
        elif field == "ping":
            order["policy"]["ping"] = value
        else:
            order["policy"]["open"][0][field] = [value] if field == "sources" else value
        try:
            action = SetInboundPolicy.model_validate_json(json.dumps(order))
        except ValidationError:
            refused.append(value)
            return
        assert action.policy is not None
        table = ruleset({action.mac: action.policy})
        known = table.replace(action.mac, MAC).replace(action.mac.replace(":", ""), MAC.replace(":", ""))
        rules_of(known, action.policy)
        tables.add(table)

    for_each_string(generated)
    # No generated string is a protocol: those are refused one and all.
    assert tables or field == "protocol"
    assert refused
    assert nft_refuses(sorted(tables)) == []
