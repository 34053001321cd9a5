"""What may come in to a card: the policy as it is typed, kept and turned into rules."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError

from virtnet import inbound
from virtnet.inbound import InboundPolicy, OpenPorts, policies_in, read_policy, read_ports, ruleset
from virtnet.libvirt_xml import parse
from virtnet.text import SpecError

MAC = "52:54:00:aa:00:01"
LINES = ("22/tcp", "8000-8100/tcp from 10.0.0.0/8, 2001:db8::/32, 192.0.2.7/32", "53/udp from 0.0.0.0/0")
POLICY = InboundPolicy(open=tuple(read_ports(line) for line in LINES), ping=True)
GOLDEN = Path(__file__).parent / "golden_rules"


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("22/tcp", OpenPorts(protocol="tcp", first=22, last=22)),
        ("  1-65535/udp ", OpenPorts(protocol="udp", first=1, last=65535)),
        (
            "80/tcp from 10.0.0.0/8,2001:db8::/32",
            OpenPorts(
                protocol="tcp", first=80, last=80, sources=(IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/32"))
            ),
        ),
        ("80/tcp  from 192.0.2.7", OpenPorts(protocol="tcp", first=80, last=80, sources=(IPv4Network("192.0.2.7"),))),
    ],
)
def test_a_line_is_read(line: str, ports: OpenPorts) -> None:
    assert read_ports(line) == ports


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_written_as_it_is_read(line: str) -> None:
    assert read_ports(str(read_ports(line))) == read_ports(line)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "is not understood"),
        ("ssh", "“ssh” is not understood"),
        ("22", "is not understood"),
        ("22/sctp", "is not understood"),
        ("22/TCP", "is not understood"),
        ("22/tcp from", "is not understood"),
        ("22/tcp\n23/tcp", "is not understood"),
        ("٢٢/tcp", "is not understood"),
        ("0/tcp", "a port is a number from 1 to 65535"),
        ("22-65536/tcp", "a port is a number from 1 to 65535"),
        ("23-22/tcp", "The range 23-22 runs backwards."),
        ("22/tcp from 10.0.0.1/8", "10.0.0.1/8 is no subnet"),
        ("22/tcp from 10.0.0.0/8,", " is no subnet"),
        ("22/tcp from fe80::1%lo", "fe80::1%lo/128: a subnet has no zone."),
        ("22/tcp from 10.0.0.0/8; drop", "10.0.0.0/8; drop is no subnet"),
    ],
)
def test_a_line_that_is_wrong_is_told_what_is_wrong(line: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence.replace("/", r"\/")):
        read_ports(line)


@pytest.mark.parametrize(
    "given",
    [
        {"open": [{"protocol": "tcp", "first": 22, "last": 22, "sources": [], "comment": "x"}]},
        {"open": [], "ping": True, "log": True},
        {"open": [{"protocol": "tcp", "first": 22, "last": 22}] * 65},
    ],
)
def test_a_policy_refuses_what_it_does_not_know(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InboundPolicy.model_validate_json(json.dumps(given))


def test_the_whole_table_of_one_card() -> None:
    assert ruleset({MAC: POLICY}) == (GOLDEN / "inbound.nft").read_text()


def test_without_policies_the_table_goes() -> None:
    assert ruleset({}) == "add table bridge kvmpanel\ndelete table bridge kvmpanel\n"


def test_pings_are_answered_only_where_the_policy_says_so() -> None:
    quiet = ruleset({MAC: InboundPolicy(ping=False)})
    assert "echo-request" not in quiet
    assert "echo-request" in ruleset({MAC: InboundPolicy(ping=True)})


def test_a_range_open_to_everybody_is_one_rule_and_each_source_is_one_more() -> None:
    rules = [line.strip() for line in ruleset({MAC: POLICY}).splitlines() if " dport " in line and "sport" not in line]
    assert rules == [
        "tcp dport 22 accept",
        "ip saddr 10.0.0.0/8 tcp dport 8000-8100 accept",
        "ip6 saddr 2001:db8::/32 tcp dport 8000-8100 accept",
        "ip saddr 192.0.2.7 tcp dport 8000-8100 accept",
        "ip saddr 0.0.0.0/0 udp dport 53 accept",
    ]


def test_the_text_is_the_same_whatever_the_order() -> None:
    other = "52:54:00:aa:00:02"
    assert ruleset({MAC: POLICY, other: InboundPolicy()}) == ruleset({other: InboundPolicy(), MAC: POLICY})


def test_what_is_kept_with_a_guest_is_read_back() -> None:
    kept = parse(inbound.document({MAC: POLICY.model_dump_json()}))
    kept.tag = f"{{{inbound.NAMESPACE}}}guest"
    domain = ET.Element("domain")
    ET.SubElement(domain, "metadata").append(kept)
    (found,) = policies_in(domain).items()
    assert (found[0], read_policy(found[1])) == (MAC, POLICY)


@pytest.mark.parametrize("written", ["no json", "7", "[]", "[" * 50_000])
def test_what_a_host_says_without_its_being_a_policy_is_not_kept(written: str) -> None:
    assert inbound.document({MAC: written}) == ""


@pytest.mark.parametrize(
    "written",
    ["", "{", "[]", "7", '{"52:54:00:aa:00:01": 7}', '{"52:54:00:aa:00:01": null}', "[" * 50_000],
)
def test_what_somebody_wrote_by_hand_is_no_policy(written: str) -> None:
    domain = ET.Element("domain")
    metadata = ET.SubElement(domain, "metadata")
    ET.SubElement(metadata, f"{{{inbound.NAMESPACE}}}guest").text = written
    assert policies_in(domain) == {}


def test_a_policy_of_another_version_is_none() -> None:
    assert read_policy('{"open": [], "ping": true, "log": "all"}') is None
    assert read_policy(None) is None
