"""What may come in to one card of a guest: nothing, but for the ports that a person opened.

Enforced by `table bridge kvmpanel` of nftables, where frames leave the bridge for the guest's tap. It needs neither
conntrack on bridges (nf_conntrack_bridge, which some kernels lack and which br_netfilter excludes) nor br_netfilter
(which would send all bridged packets through the host's iptables):

- TCP: nothing opens a connection but a SYN, so SYNs are judged and all other segments pass.
- UDP and the rest: what the guest sends is remembered for two minutes in a set, and answers to it pass.

The card is known by its MAC address, and its tap by the first frame that comes from it with this address: so nothing
needs to be done when the guest starts again, and a frame to everybody is judged too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from virtnet.text import SpecError, Text, gettext_noop, text

TABLE = "kvmpanel"
NAMESPACE = "urn:kvmpanel:guest:1"  # of a guest's metadata
Port = Annotated[int, Field(ge=1, le=65535)]

_LINE = re.compile(
    r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?/(?P<protocol>tcp|udp)(?:\s+from\s+(?P<sources>.+))?"
)

# Errors that a guest needs to hear of about its own packets, and the answer to its own ping.
_ICMP = "echo-reply, destination-unreachable, time-exceeded, parameter-problem"
# The same; then groups, routers and neighbours, without which IPv6 does not work at all.
_ICMPV6 = (
    "destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-reply, mld-listener-query, "
    "mld-listener-report, mld-listener-done, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect, "
    "mld2-listener-report"
)


class OpenPorts(BaseModel):
    """One port or a range of ports that is open, to everybody or to some subnets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["tcp", "udp"]
    first: Port
    last: Port
    sources: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(max_length=32)] = ()

    @field_validator("sources")
    @classmethod
    def sources_have_no_zone(
        cls, sources: tuple[IPv4Network | IPv6Network, ...]
    ) -> tuple[IPv4Network | IPv6Network, ...]:
        # Python takes fe80::1%anything for a subnet.
        for source in sources:
            if "%" in str(source):
                raise SpecError(text("%(source)s: a subnet has no zone.", source=source))
        return sources

    @model_validator(mode="after")
    def the_range_is_upwards(self) -> OpenPorts:
        if self.last < self.first:
            raise SpecError(text("The range %(first)s-%(last)s runs backwards.", first=self.first, last=self.last))
        return self

    def __str__(self) -> str:
        """As it is typed: `22/tcp`, `8000-8100/tcp from 10.0.0.0/8, 2001:db8::/32`."""
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        sources = ", ".join(str(source) for source in self.sources)
        return f"{ports}/{self.protocol}" + (f" from {sources}" if sources else "")


class InboundPolicy(BaseModel):
    """Everything is denied but what is opened here; what the guest itself opens is never in question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    open: Annotated[tuple[OpenPorts, ...], Field(title=gettext_noop("Open ports"), max_length=64)] = ()
    ping: Annotated[bool, Field(title=gettext_noop("Answer pings"))] = True


NOT_COVERED: tuple[Text, ...] = (
    text("What is denied is dropped without an answer. Connections that are open when the policy is set stay open."),
    text(
        "It keeps no list of TCP connections: nobody can open one to a closed port, but a scanner that sends other "
        "segments sees that a machine is there."
    ),
    text("Answers to what the guest sends by UDP pass for two minutes after it last sent; a later one is dropped."),
    text("Frames that are neither IP nor ARP are dropped. What the guest sends is not restricted."),
    text(
        "It goes by the card's MAC address: a guest that takes another one before it first speaks escapes it, "
        "unless a filter such as no-mac-spoofing is on the card."
    ),
)


def read_ports(line: str) -> OpenPorts:
    """One line as a person types it. Raises SpecError."""
    line = line.encode(errors="replace").decode().strip()
    found = _LINE.fullmatch(line)
    if found is None:
        raise SpecError(
            text(
                "“%(line)s” is not understood. Write 22/tcp, 8000-8100/tcp or 53/udp from 10.0.0.0/8.",
                line=line,
            )
        )
    sources = [_source(source) for source in (found["sources"] or "").split(",") if found["sources"]]
    last = found["last"] or found["first"]
    try:
        return OpenPorts.model_validate(
            {"protocol": found["protocol"], "first": int(found["first"]), "last": int(last), "sources": sources}
        )
    except ValidationError as error:
        cause = error.errors()[0].get("ctx", {}).get("error")
        if isinstance(cause, SpecError):
            raise SpecError(cause.text) from error
        if error.errors()[0]["type"] == "too_long":
            raise SpecError(text("%(line)s: name at most 32 sources.", line=line)) from error
        raise SpecError(text("%(line)s: a port is a number from 1 to 65535.", line=line)) from error


def _source(written: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(written.strip())
    except ValueError as error:
        raise SpecError(
            text("%(source)s is no subnet, such as 10.0.0.0/8 or 2001:db8::/32.", source=written.strip())
        ) from error


def document(policies: Mapping[str, str]) -> str:
    """What a guest's metadata holds: the JSON of each card's policy, by its MAC address; "" without a policy. What a
    host says without its being JSON is left out."""
    read = {mac: policy for mac in sorted(policies) if (policy := _object(policies[mac])) is not None}
    if not read:
        return ""
    guest = ET.Element("guest")
    guest.text = json.dumps(read)
    return ET.tostring(guest, encoding="unicode")


def policies_in(domain: ET.Element) -> dict[str, str]:
    """The same read back from a <domain>: JSON by MAC address; of what somebody wrote by hand, what can be read."""
    guest = domain.find(f"metadata/{{{NAMESPACE}}}guest")
    found = _object((guest.text if guest is not None else None) or "")
    return {mac.lower(): json.dumps(policy) for mac, policy in (found or {}).items() if isinstance(policy, dict)}


def _object(written: str) -> dict[str, Any] | None:
    """None for what is no JSON object, or is nested thousands deep."""
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_policy(written: str | None) -> InboundPolicy | None:
    """A policy that a guest's metadata holds; None where there is none or somebody wrote what cannot be read."""
    if written is None:
        return None
    try:
        return InboundPolicy.model_validate_json(written)
    except ValidationError:
        return None


def chain(mac: str) -> str:
    """The chain that judges what comes in to a card, e.g. in_525400aa0001."""
    return f"in_{_identifier(mac)}"


def ruleset(policies: Mapping[str, InboundPolicy]) -> str:
    """The text for `nft -f -`, one transaction; written as nft itself lists it. Without policies the table goes."""
    cards = [(mac, _identifier(mac), policies[mac]) for mac in sorted(policies)]
    # `add` first, so that `delete` cannot fail on a host that has no table yet.
    empty = [f"add table bridge {TABLE}", f"delete table bridge {TABLE}"]
    if not cards:
        return "\n".join([*empty, ""])
    return "\n".join(
        [
            *empty,
            f"table bridge {TABLE} {{",
            *(line for _, card, _ in cards for line in _sets(card)),
            *_chain(
                "from_guests",
                "type filter hook prerouting priority filter; policy accept;",
                # Of taps alone: a machine of the LAN that lies about its MAC address must not shut the uplink.
                *(f'meta iifkind "tun" ether saddr {mac} jump out_{card}' for mac, card, _ in cards),
            ),
            *_chain(
                "to_guests",
                "type filter hook postrouting priority filter; policy accept;",
                *(
                    line
                    for mac, card, _ in cards
                    for line in (f"ether daddr {mac} goto in_{card}", f"oif @taps_{card} goto in_{card}")
                ),
            ),
            *(line for _, card, _ in cards for line in _chain(f"out_{card}", *_outbound(card))),
            *(line for _, card, policy in cards for line in _chain(f"in_{card}", *_inbound(card, policy))),
            "}",
            "",
        ]
    )


def _identifier(mac: str) -> str:
    return mac.replace(":", "")


def _chain(name: str, *lines: str) -> list[str]:
    return [f"\tchain {name} {{", *(f"\t\t{line}" for line in lines), "\t}"]


def _sets(card: str) -> Iterator[str]:
    # Each start of the guest makes a tap with another index; those that were forget themselves.
    yield from _set(f"taps_{card}", "iface_index", size=64, timeout="1h")
    for family, address in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
        key = f"{address} . inet_service . {address} . inet_service"
        yield from _set(f"asked{family}_{card}", key, size=65535)
        yield from _set(f"peers{family}_{card}", f"{address} . inet_proto", size=1024)


def _set(name: str, key: str, *, size: int, timeout: str = "2m") -> list[str]:
    lines = (f"type {key}", f"size {size}", "flags dynamic,timeout", f"timeout {timeout}")
    return [f"\tset {name} {{", *(f"\t\t{line}" for line in lines), "\t}"]


def _outbound(card: str) -> Iterable[str]:
    """What the guest sends is noted and never judged."""
    return (
        f"update @taps_{card} {{ iif }}",
        f"update @asked4_{card} {{ ip daddr . udp dport . ip saddr . udp sport }}",
        f"update @asked6_{card} {{ ip6 daddr . udp dport . ip6 saddr . udp sport }}",
        # VPNs and the like: ESP, GRE, SCTP.
        f"meta l4proto != {{ icmp, tcp, udp, ipv6-icmp }} update @peers4_{card} {{ ip daddr . meta l4proto }}",
        f"meta l4proto != {{ icmp, tcp, udp, ipv6-icmp }} update @peers6_{card} {{ ip6 daddr . meta l4proto }}",
    )


def _inbound(card: str, policy: InboundPolicy) -> Iterator[str]:
    # RFC 1858: only the first fragment has flags; a first one too short to show them matches nothing and is dropped.
    yield "tcp flags != syn / syn,ack accept"
    yield f"ip saddr . udp sport . ip daddr . udp dport @asked4_{card} accept"
    yield f"ip6 saddr . udp sport . ip6 daddr . udp dport @asked6_{card} accept"
    yield f"ip saddr . meta l4proto @peers4_{card} accept"
    yield f"ip6 saddr . meta l4proto @peers6_{card} accept"
    yield "ip frag-off & 8191 > 1 accept"
    yield "frag frag-off > 1 accept"
    yield "meta protocol arp accept"
    yield "ip protocol igmp accept"
    yield f"icmp type {{ {_ICMP} }} accept"
    yield f"icmpv6 type {{ {_ICMPV6} }} accept"
    yield "udp sport 67 udp dport 68 accept"
    yield "udp sport 547 udp dport 546 accept"
    if policy.ping:
        yield "icmp type echo-request accept"
        yield "icmpv6 type echo-request accept"
    for ports in policy.open:
        yield from _open(ports)
    yield "drop"


def _open(ports: OpenPorts) -> Iterator[str]:
    port = str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"
    if not ports.sources:
        yield f"{ports.protocol} dport {port} accept"
    for source in ports.sources:
        family = "ip" if source.version == 4 else "ip6"
        # nft lists a subnet of all addresses as the wildcard that it is, and one of one address without its prefix.
        address = source.network_address if source.prefixlen == source.max_prefixlen else source
        yield f"{family} saddr {address} {ports.protocol} dport {port} accept"
