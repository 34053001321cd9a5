"""macvtap: guests share a link of the host, without a bridge.

    guest -- macvtap -- uplink -- LAN

The kernel hands the guest's frames straight to the uplink and never to the host that owns it.
See https://libvirt.org/formatdomain.html#direct-attachment-to-physical-interface for the four source modes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from xml.etree import ElementTree as ET

from pydantic import Field

from virtnet import checks, direct, hops, network_xml, suggestions
from virtnet.direct import SourceMode
from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.fields import Uplink
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.spec import Answer, NetworkSpec, Problem, Reachability, depends, no, yes
from virtnet.text import Text, gettext_noop, text


class Macvtap(NetworkSpec):
    label: ClassVar[Text] = text("macvtap")
    summary: ClassVar[Text] = text("Guests are on the LAN through a link of the host, but cut off from the host.")
    how: ClassVar[Text] = text(
        "Each guest's MAC address sits on the uplink itself, with no bridge between. Its frames go straight out to the "
        "LAN and come straight in, past the host."
    )
    diagram: ClassVar[tuple[str, ...]] = (hops.GUEST, hops.MACVTAP, hops.UPLINK, hops.LAN)
    good: ClassVar[tuple[Text, ...]] = (
        text("Less delay than a bridge, and the whole bandwidth of the card."),
        text("Nothing to change in the host's own network."),
    )
    bad: ClassVar[tuple[Text, ...]] = (
        text("Host and guest cannot talk: give the guest a second card on a host-only network where they must."),
        text("No DHCP of libvirt, no firewall of the host and no nwfilter on this card."),
        text("Not over Wi-Fi."),
        text(
            "The MTU is the uplink's: libvirt refuses <mtu> here and tells the guest nothing, so one that is not 1500 "
            "must be set inside the guest."
        ),
        text("libvirt refuses <bandwidth> for the whole network, and VLAN tags except in passthrough over a VF."),
    )
    suits: ClassVar[Text] = text("Guests that move much data and never talk to their host: VoIP, streaming.")
    performance: ClassVar[Text] = text("Very high")
    by_hand: ClassVar[tuple[str, ...]] = (
        "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>",
        "ip link add link eth0 name macvtap0 type macvtap mode bridge",
    )
    source_modes: ClassVar[dict[SourceMode, Text]] = {
        "bridge": text("Guests on one uplink reach each other directly; the usual choice."),
        "vepa": text("All frames go out to the switch, which must send those between guests back (hairpin)."),
        "private": text("Guests on one uplink never reach each other, whatever the switch does."),
        "passthrough": text("One guest owns the whole link, and may change its MAC address."),
    }

    mode: Literal["macvtap"] = "macvtap"
    uplink: Annotated[Uplink, Field(title=gettext_noop("Uplink"))]
    source_mode: Annotated[SourceMode, Field(title=gettext_noop("Source mode"))] = "bridge"
    trust_guest_rx_filters: Annotated[bool, direct.TRUST] = False

    @classmethod
    def examples(cls) -> tuple[Macvtap, ...]:
        return tuple(cls(name="macvtap", uplink="eth0", source_mode=source_mode) for source_mode in cls.source_modes)

    @classmethod
    def suggest(cls, facts: HostFacts) -> dict[str, str]:
        uplink = suggestions.only_one(facts.uplinks)
        return {"name": suggestions.free_name(facts, "macvtap"), **({"uplink": uplink} if uplink else {})}

    def title(self) -> Text:
        return text("macvtap, %(source_mode)s", source_mode=self.source_mode)

    def caution(self) -> Text:
        if self.source_mode == "passthrough":
            return text(
                "The guest takes the whole link from the host. Guest and host reach each other only through the LAN, "
                "where the host has another link in it. Where they must talk in any case, give the guest a second card "
                "on a host-only network."
            )
        return text(
            "Guest and host cannot reach each other over macvtap: the link hands the guest's frames to the wire and "
            "never to the host that owns it. Where they must talk, for backups or monitoring by the host, give the "
            "guest a second card on a host-only network."
        )

    def made_up_by(self) -> str:
        return "host-only"

    @classmethod
    def like(cls, network: NetworkFacts) -> Macvtap | None:
        return cls._example(network_xml.forward_mode_of(network.xml))

    @classmethod
    def like_card(cls, card: InterfaceFacts) -> Macvtap | None:
        return cls._example(card.source_mode) if card.type == "direct" else None

    @classmethod
    def _example(cls, source_mode: str | None) -> Macvtap | None:
        return next((example for example in cls.examples() if example.source_mode == source_mode), None)

    def effect(self) -> Text:
        return self.source_modes[self.source_mode]

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        forward = network_xml.forward_mode(network)
        # To libvirt the forward mode "bridge" without a bridge is macvtap.
        return forward in {"private", "vepa", "passthrough"} or (
            forward == "bridge" and network_xml.bridge_in(network) is None
        )

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        found = checks.name_is_taken(facts, ref)
        return [*found, *direct.in_the_way(facts, self.uplink, self.source_mode, field="uplink", network=ref)]

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return direct.notes(facts, self.uplink, field="uplink")

    def reachability(self) -> Reachability:
        between_guests: dict[SourceMode, Answer] = {
            "bridge": yes(text("macvtap hands frames over between guests on the same uplink.")),
            "vepa": depends(text("Only through a switch that sends frames back where they came from (hairpin).")),
            "private": no(text("Private mode drops frames between guests.")),
            "passthrough": depends(text("Each guest has an uplink of its own; the LAN joins them or does not.")),
        }
        past_the_host = no(
            text(
                "macvtap hands frames to the wire, never to the host that owns the uplink; a switch that sends them "
                "back would join the two."
            )
        )
        with_the_host: dict[SourceMode, Answer] = {
            "bridge": past_the_host,
            "vepa": depends(text("All frames go out to the switch; only one that sends them back joins the two.")),
            "private": past_the_host,
            "passthrough": depends(text("Only through the LAN, where the host has another link in it.")),
        }
        return Reachability(
            guest_to_internet=depends(text("Through the LAN's router, like every machine there.")),
            guest_to_host=with_the_host[self.source_mode],
            guest_to_lan=yes(text("Frames leave by the uplink with the guest's own MAC address.")),
            lan_to_guest=yes(text("The guest's MAC address answers on the uplink.")),
            guest_to_guest=between_guests[self.source_mode],
        ).measured_by("tests/lab/test_macvtap_on_a_host.py::test_who_reaches_whom")

    def libvirt_xml(self, ref: NetworkRef) -> str:
        network = network_xml.new_network(ref, self.model_dump_json())
        if self.trust_guest_rx_filters:
            network.set("trustGuestRxFilters", "yes")
        forward = ET.SubElement(network, "forward", mode=self.source_mode)
        ET.SubElement(forward, "interface", dev=self.uplink)
        return network_xml.to_xml(network)

    def apply(self, host: Host, ref: NetworkRef) -> None:
        direct.prepare(host, self.uplink, self.source_mode)
        host.define_network(ref, self.libvirt_xml(ref))
        host.set_autostart(ref, True)
        host.start_network(ref)

    def update(self, host: Host, ref: NetworkRef) -> None:
        direct.prepare(host, self.uplink, self.source_mode)
        host.update_network(ref, self.libvirt_xml(ref))
        host.take_back_links()

    def remove(self, host: Host, ref: NetworkRef) -> None:
        host.destroy_network(ref)
        host.undefine_network(ref)
        host.take_back_links()
