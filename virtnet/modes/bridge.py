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

from virtnet import bridge_checks, bridge_mtu, bridges, checks, hops, network_xml, persist, spanning_tree, suggestions
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
        text("Two uplinks in one bridge make a loop unless STP is on; with STP a cable that fails costs up to 50 s."),
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
    second_uplink: Annotated[spanning_tree.SecondUplink, Offered("uplinks")] = None
    stp: spanning_tree.Stp = False
    forward_delay: spanning_tree.ForwardDelay = spanning_tree.USUAL
    mtu: bridge_mtu.Mtu = None
    lasts: persist.Lasts = True

    @model_validator(mode="after")
    def uplink_is_not_the_bridge(self) -> Bridge:
        if self.bridge in {self.uplink, self.second_uplink}:
            field = "uplink" if self.uplink == self.bridge else "second_uplink"
            raise SpecError(text("A bridge cannot be a port of itself."), field=field)
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
            *bridges.network_stays(facts, ref, self.bridge, self._as_made(facts, ref)),
            *bridge_checks.problems(facts, ref, self._wiring(), self.mode, lasts=self.lasts),
        ]

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return bridge_checks.notes(facts, ref, self._wiring())

    def as_found(self, facts: HostFacts) -> Bridge:
        """A bridge of ours that is in no file goes with the host's next start, whatever the spec's default says."""
        return self.model_copy(update={"lasts": self.lasts and not bridges.is_for_now(facts, self.bridge)})

    def drift(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return bridges.drift(facts, ref, self._wiring())

    def _wiring(self) -> bridges.Wiring:
        return bridges.Wiring(self.bridge, self.uplink, self.second_uplink, self.stp * self.forward_delay, self.mtu)

    @classmethod
    def _as_made(cls, facts: HostFacts, ref: NetworkRef) -> bridges.Wiring | None:
        """This very network as it is on the host; None where it is not there, or of another version."""
        specs = [network.spec for network in facts.networks if network.uuid == ref.uuid]
        try:
            return cls.model_validate_json(specs[0] or "")._wiring() if specs else None
        except ValueError:
            return None

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
        wanted = self._wiring()
        host.arm_guard_for_bridge(ref, wanted)
        host.add_bridge(self.bridge, ref, self.uplink, self.second_uplink)
        host.set_up(self.bridge)
        if self.uplink is not None:
            self._take(host, self.uplink)
        host.replace_second(self.bridge, ref, self.second_uplink)
        # STP comes only now: the first uplink forwards already, and goes on; a second listens first. It goes once there
        # is no second any more.
        host.set_stp(self.bridge, ref, wanted.forward_delay)
        if self.second_uplink is not None:
            self._take(host, self.second_uplink)
        host.set_mtu(ref, wanted)
        host.await_confirmation()
        if self.lasts:
            host.persist_bridge(ref, wanted)

    def _take(self, host: Host, uplink: str) -> None:
        host.set_master(uplink, self.bridge)
        host.set_up(uplink)

    def remove(self, host: Host, ref: NetworkRef) -> None:
        # Others may stand on the bridge, or may have made it: then it stays.
        host.arm_guard((self.bridge,), asks="person", network=ref)
        host.delete_bridge(self.bridge, ref)
        host.await_confirmation()
        host.forget_bridge(self.bridge)
        host.destroy_network(ref)
        host.undefine_network(ref)
