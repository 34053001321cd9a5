"""NAT: guests leave through the host and wear its address.

    guest -- tap -- virbrN -- host (masquerade) -- uplink -- LAN -- Internet

libvirt makes the bridge and runs dnsmasq on it. To libvirt the network is `open`, because libvirt's own `nat` rejects
what our table accepts; the masquerading and the refusals are in `table inet kvmpanel` (virtnet.firewall).
"""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Annotated, ClassVar, Literal
from xml.etree import ElementTree as ET

from pydantic import Field, model_validator

from virtnet import checks, hops, network_xml, served, suggestions, surprises
from virtnet.facts import HostFacts
from virtnet.firewall import NetworkRules
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem, Reachability, no, yes
from virtnet.subnet import BridgeToMake, FirstLease, LastLease, check_range, ip_element
from virtnet.text import Text, gettext_noop, text


class Nat(NetworkSpec):
    label: ClassVar[Text] = text("NAT")
    summary: ClassVar[Text] = text("Guests reach the LAN and the Internet through the host's own address.")
    how: ClassVar[Text] = text(
        "The guests get addresses from a private range of the host. The host is their gateway and hides them: "
        "what they send leaves with the host's address, and nobody outside can open a connection to them."
    )
    diagram: ClassVar[tuple[str, ...]] = (
        hops.GUEST,
        hops.TAP,
        hops.VIRBR,
        hops.HOST,
        hops.UPLINK,
        hops.LAN,
        hops.INTERNET,
    )
    good: ClassVar[tuple[Text, ...]] = (
        text("Safe: nobody outside reaches a guest."),
        text("Nothing to prepare on the host or the LAN; works over Wi-Fi too."),
    )
    bad: ClassVar[tuple[Text, ...]] = (
        text("Not for a server that others must reach: that takes a port forward or another mode."),
        text("Slowest of the five: each packet passes a bridge and connection tracking."),
    )
    suits: ClassVar[Text] = text("Personal guests, development, whatever only calls out.")
    performance: ClassVar[Text] = text("Medium")
    by_hand: ClassVar[tuple[str, ...]] = ("virsh net-list --all",)

    mode: Literal["nat"] = "nat"
    bridge: BridgeToMake
    gateway: Annotated[
        IPv4Interface,
        Field(
            title=gettext_noop("Gateway"),
            description=gettext_noop("The host's address on the network, with its prefix, e.g. 192.168.77.1/24."),
        ),
    ]
    first_lease: FirstLease = None
    last_lease: LastLease = None

    @model_validator(mode="after")
    def range_lies_in_the_subnet(self) -> Nat:
        check_range(self.gateway, self.first_lease, self.last_lease, address_field="gateway")
        return self

    @classmethod
    def examples(cls) -> tuple[Nat, ...]:
        return (cls(name="nat", bridge="virbr1", gateway=IPv4Interface("192.168.77.1/24")),)

    @classmethod
    def suggest(cls, facts: HostFacts) -> dict[str, str]:
        return {
            "name": suggestions.free_name(facts, "nat"),
            "bridge": suggestions.free_bridge(facts),
            **suggestions.served_subnet(facts, "gateway"),
        }

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        return network_xml.forward_mode(network) == "nat"

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return served.problems(facts, ref, self.bridge, self.gateway, field="gateway")

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return [
            *checks.subnet_is_public(self.gateway.network, field="gateway"),
            *surprises.forwarding_is_dropped(facts),
            *surprises.firewalld_runs(facts),
        ]

    def reachability(self) -> Reachability:
        return Reachability(
            guest_to_internet=yes(text("The host sends it on with its own address (masquerade).")),
            guest_to_host=yes(text("The host holds the gateway's address on the guests' bridge.")),
            guest_to_lan=yes(text("The host sends it on; the LAN sees only the host's address.")),
            lan_to_guest=no(text("The host's firewall refuses new connections to the guests.")),
            guest_to_guest=yes(text("All taps are ports of one bridge.")),
        ).measured_by(
            "tests/lab/test_agent_on_a_host.py::test_a_nat_guest_reaches_the_internet_and_the_lan_does_not_reach_it"
        )

    def libvirt_xml(self, ref: NetworkRef) -> str:
        network = network_xml.new_network(ref, self.model_dump_json())
        ET.SubElement(network, "forward", mode="open")
        ET.SubElement(network, "bridge", name=self.bridge, stp="on", delay="0")
        network.append(ip_element(self.gateway, self.first_lease, self.last_lease))
        return network_xml.to_xml(network)

    def firewall_rules(self) -> NetworkRules:
        return NetworkRules(bridge=self.bridge, subnet=self.gateway.network, masquerade=True)

    def apply(self, host: Host, ref: NetworkRef) -> None:
        served.apply(host, ref, self.libvirt_xml(ref), self.firewall_rules())

    def update(self, host: Host, ref: NetworkRef) -> None:
        served.update(host, ref, self.libvirt_xml(ref), self.firewall_rules())

    def remove(self, host: Host, ref: NetworkRef) -> None:
        served.remove(host, ref)
