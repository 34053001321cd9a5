"""Host-only: guests reach each other and the host, nothing else (libvirt: an isolated network, no <forward>).

    guest -- tap -- virbrN -- host

libvirt refuses to forward by rules of its own; our table refuses too, so that the promise survives a flush of either.
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


class HostOnly(NetworkSpec):
    label: ClassVar[Text] = text("Host-only")
    summary: ClassVar[Text] = text("Guests reach each other and the host, nothing else.")
    how: ClassVar[Text] = text(
        "The guests share a private network with the host. Nothing is forwarded: no packet of theirs leaves the host, "
        "and none from outside reaches them. A second card on another network goes round this."
    )
    diagram: ClassVar[tuple[str, ...]] = (hops.GUEST, hops.TAP, hops.VIRBR, hops.HOST)
    good: ClassVar[tuple[Text, ...]] = (
        text("Fully cut off from the outside."),
        text("Nothing to prepare on the host or the LAN."),
    )
    bad: ClassVar[tuple[Text, ...]] = (text("No Internet: updates and images must come another way."),)
    suits: ClassVar[Text] = text("Labs, tests, a database tier that only other guests may reach.")
    performance: ClassVar[Text] = text("High between guests of one host")
    by_hand: ClassVar[tuple[str, ...]] = ("virsh net-define hostonly.xml", "virsh net-start hostonly")

    mode: Literal["host-only"] = "host-only"
    bridge: BridgeToMake
    host_address: Annotated[
        IPv4Interface,
        Field(
            title=gettext_noop("Host's address"),
            description=gettext_noop("The host's address on the network, with its prefix, e.g. 192.168.77.1/24."),
        ),
    ]
    first_lease: FirstLease = None
    last_lease: LastLease = None

    @model_validator(mode="after")
    def range_lies_in_the_subnet(self) -> HostOnly:
        check_range(self.host_address, self.first_lease, self.last_lease, address_field="host_address")
        return self

    @classmethod
    def examples(cls) -> tuple[HostOnly, ...]:
        return (cls(name="host-only", bridge="virbr1", host_address=IPv4Interface("192.168.77.1/24")),)

    @classmethod
    def suggest(cls, facts: HostFacts) -> dict[str, str]:
        return {
            "name": suggestions.free_name(facts, "host-only"),
            "bridge": suggestions.free_bridge(facts),
            **suggestions.served_subnet(facts, "host_address"),
        }

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        return network_xml.forward_mode(network) is None

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return served.problems(facts, ref, self.bridge, self.host_address, field="host_address")

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return [
            *checks.subnet_is_public(self.host_address.network, field="host_address"),
            *surprises.firewalld_runs(facts),
        ]

    def reachability(self) -> Reachability:
        nothing_leaves = text("The host forwards nothing from or to this network.")
        return Reachability(
            guest_to_internet=no(nothing_leaves),
            guest_to_host=yes(text("The host has an address on the guests' bridge.")),
            guest_to_lan=no(nothing_leaves),
            lan_to_guest=no(nothing_leaves),
            guest_to_guest=yes(text("All taps are ports of one bridge.")),
        ).measured_by("tests/lab/test_agent_on_a_host.py::test_a_host_only_guest_reaches_the_host_and_nothing_else")

    def libvirt_xml(self, ref: NetworkRef) -> str:
        network = network_xml.new_network(ref, self.model_dump_json())
        ET.SubElement(network, "bridge", name=self.bridge, stp="on", delay="0")
        network.append(ip_element(self.host_address, self.first_lease, self.last_lease))
        return network_xml.to_xml(network)

    def firewall_rules(self) -> NetworkRules:
        return NetworkRules(bridge=self.bridge, subnet=self.host_address.network, masquerade=False)

    def apply(self, host: Host, ref: NetworkRef) -> None:
        served.apply(host, ref, self.libvirt_xml(ref), self.firewall_rules())

    def update(self, host: Host, ref: NetworkRef) -> None:
        served.update(host, ref, self.libvirt_xml(ref), self.firewall_rules())

    def remove(self, host: Host, ref: NetworkRef) -> None:
        served.remove(host, ref)
