"""Bridge: guests sit on the LAN itself.

    guest -- tap -- br0 -- uplink -- LAN

libvirt does not manage this bridge: no addresses, no DHCP, no firewall rules. It was there before, or the agent makes
it, with an uplink as its port or with none; what the host has on that uplink moves to the bridge, and goes back when
the last network on it goes. A change of the host's own uplink is undone unless somebody confirms it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from xml.etree import ElementTree as ET

from pydantic import Field, model_validator

from virtnet import bridges, checks, direct, hops, links, network_xml, persist, suggestions, surprises
from virtnet.facts import HostFacts
from virtnet.fields import LinkName, Offered
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem, Reachability, depends, yes
from virtnet.text import SpecError, Text, gettext_noop, text


class Bridge(NetworkSpec):
    label: ClassVar[Text] = text("Bridge")
    summary: ClassVar[Text] = text("Guests are on the LAN, like machines of their own.")
    how: ClassVar[Text] = text(
        "A bridge is a switch inside the host. The guests' taps and the uplink are its ports, so each guest stands on "
        "the LAN with a MAC address of its own, gets its address from the LAN's DHCP, and is reached like any machine."
    )
    diagram: ClassVar[tuple[str, ...]] = (hops.GUEST, hops.TAP, hops.BRIDGE, hops.UPLINK, hops.LAN)
    good: ClassVar[tuple[Text, ...]] = (
        text("Others reach the guests directly: right for servers."),
        text("Fast, low delay, and guests talk to every machine of the LAN, the host included."),
    )
    bad: ClassVar[tuple[Text, ...]] = (
        text("Guests are open to the LAN: they need firewalls of their own."),
        text("Not over Wi-Fi, and some providers block MAC addresses that they did not give out."),
        text("Two uplinks in one bridge make a loop unless STP is on."),
        text("The bridge's MTU is that of the port with the lowest."),
        text("It survives a restart where ifupdown, systemd-networkd, netplan or NetworkManager owns the network."),
        text("Where br_netfilter is on, packets on the bridge pass the host's iptables rules, and Docker's drop them."),
    )
    suits: ClassVar[Text] = text("Servers that others must reach: VPS, web servers.")
    performance: ClassVar[Text] = text("High")
    by_hand: ClassVar[tuple[str, ...]] = (
        "ip link add name br0 type bridge",
        "ip link set br0 up",
        "ip link set eth0 master br0",
    )

    mode: Literal["bridge"] = "bridge"
    bridge: Annotated[
        LinkName,
        Field(
            title=gettext_noop("Bridge"),
            description=gettext_noop("Of the host, e.g. br0. Where there is none it is made."),
        ),
    ]
    uplink: Annotated[
        LinkName | None,
        Offered("uplinks"),
        Field(
            title=gettext_noop("Uplink"),
            description=gettext_noop(
                "Becomes a port of a new bridge, which takes over the host's addresses and routes on it. Leave empty "
                "for a bridge that is there, or for one that leads to no LAN."
            ),
        ),
    ] = None
    lasts: persist.Lasts = True

    @model_validator(mode="after")
    def uplink_is_not_the_bridge(self) -> Bridge:
        if self.uplink == self.bridge:
            raise SpecError(text("A bridge cannot be a port of itself."), field="uplink")
        return self

    @classmethod
    def examples(cls) -> tuple[Bridge, ...]:
        return (cls(name="lan", bridge="br0", uplink="eth0"),)

    @classmethod
    def suggest(cls, facts: HostFacts) -> dict[str, str]:
        return {"name": suggestions.free_name(facts, "lan"), "bridge": suggestions.host_bridge(facts)}

    def effect(self) -> Text:
        if self.lasts:
            return text("Guests are on the LAN, like machines of their own.")
        return text(
            "Guests are on the LAN, like machines of their own. If the panel makes %(bridge)s, it lasts until the "
            "host's next start.",
            bridge=self.bridge,
        )

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        # The same forward mode without a bridge is macvtap's.
        return network_xml.forward_mode(network) == "bridge" and network_xml.bridge_in(network) is not None

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return [
            *checks.name_is_taken(facts, ref),
            *bridges.network_stays(facts, ref, self.bridge),
            *(self._bridge_problems(facts, ref) or bridges.ports_stay(facts, ref, self.bridge, self.uplink)),
            *(self._uplink_problems(facts, ref) or persist.problems(facts, self.bridge, self.uplink, lasts=self.lasts)),
        ]

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return surprises.of_a_bridge(facts, self.bridge, self.uplink)

    def _bridge_problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        fix = text("Choose another bridge name.")
        link = facts.link(self.bridge)
        if link is not None and link.kind != "bridge":
            sentence = text("%(link)s is a link of this host, but no bridge.", link=self.bridge)
            return [Problem(text=sentence, fix=fix, field="bridge")]
        for network in facts.networks:
            if network.bridge == self.bridge and network.uuid != ref.uuid and network.mode != "bridge":
                sentence = text(
                    "%(bridge)s is made by libvirt for the network %(network)s, and goes when that is stopped.",
                    bridge=self.bridge,
                    network=network.name,
                )
                return [Problem(text=sentence, fix=fix, field="bridge")]
        return []

    def _uplink_problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        link = facts.link(self.uplink or "")
        if link is None:
            return links.link_is_missing(facts, self.uplink, field="uplink") if self.uplink else []
        if link.master == self.bridge:
            return []
        other = text("Use %(bridge)s as the bridge, or another uplink.", bridge=link.master)
        found = [
            *links.link_is_wireless(link, field="uplink", fix=text("Use a cable, or choose NAT.")),
            *links.link_is_no_uplink(link, field="uplink"),
            *links.link_is_a_port(link, field="uplink", fix=other),
            *links.link_is_a_bridge(link, field="uplink"),
            *direct.carries_macvtap(facts, link.name, field="uplink"),
        ]
        return [*found, *bridges.uplink_is_not_free(facts, link, lasts=self.lasts)]

    def reachability(self) -> Reachability:
        guests = yes(text("All taps are ports of one bridge."))
        if self.uplink is None:
            ports = depends(text("As far as the ports lead that the bridge has already."))
            on_bridge = depends(text("Where the host has an address on the bridge, or on the LAN behind it."))
            return Reachability(ports, on_bridge, ports, ports, guests)
        own_mac = yes(text("The uplink is a port of the guests' bridge; each guest has its own MAC address."))
        return Reachability(
            guest_to_internet=depends(text("Through the LAN's router, like every machine there.")),
            guest_to_host=yes(text("The host is on the same LAN, by its address on the bridge or beside it.")),
            guest_to_lan=own_mac,
            lan_to_guest=own_mac,
            guest_to_guest=guests,
        ).measured_by(
            "tests/lab/test_bridge_on_a_host.py::test_a_guest_is_on_the_lan_and_the_host_is_as_before_when_it_is_gone"
        )

    def libvirt_xml(self, ref: NetworkRef) -> str:
        network = network_xml.new_network(ref, self.model_dump_json())
        ET.SubElement(network, "forward", mode="bridge")
        ET.SubElement(network, "bridge", name=self.bridge)
        return network_xml.to_xml(network)

    def apply(self, host: Host, ref: NetworkRef) -> None:
        self._wire(host, ref)
        host.define_network(ref, self.libvirt_xml(ref))
        host.set_autostart(ref, True)
        host.start_network(ref)

    def update(self, host: Host, ref: NetworkRef) -> None:
        self._wire(host, ref)
        host.update_network(ref, self.libvirt_xml(ref))

    def _wire(self, host: Host, ref: NetworkRef) -> None:
        if self.uplink is not None:
            host.arm_guard((self.uplink,), asks="person", new=(self.bridge,))
        host.add_bridge(self.bridge, ref, self.uplink)
        host.set_up(self.bridge)
        if self.uplink is not None:
            host.set_master(self.uplink, self.bridge)
            host.set_up(self.uplink)
        host.await_confirmation()
        if self.lasts:
            host.persist_bridge(self.bridge, self.uplink)

    def remove(self, host: Host, ref: NetworkRef) -> None:
        # Others may stand on the bridge, or may have made it: then it stays.
        host.arm_guard((self.bridge,), asks="person", network=ref)
        host.delete_bridge(self.bridge, ref)
        host.await_confirmation()
        host.forget_bridge(self.bridge)
        host.destroy_network(ref)
        host.undefine_network(ref)
