"""What may stand in the way of making a bridge of the host, giving it an uplink, and taking it away again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from virtnet import links
from virtnet.facts import HostFacts
from virtnet.link_facts import Link
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import Text, text


@dataclass(frozen=True)
class Wiring:
    """A bridge with its uplinks. forward_delay: seconds, 0 without STP. mtu: None where it may be any."""

    bridge: str
    uplink: str | None = None
    second: str | None = None
    forward_delay: int = 0
    mtu: int | None = None


def network_stays(facts: HostFacts, ref: NetworkRef, bridge: str, made: Wiring | None = None) -> list[Problem]:
    """A network is not moved to another bridge: its guests' taps would stay behind on the former one. made: as the
    panel made it; back to that it may always go."""
    if made is not None and made.bridge == bridge:
        return []
    own = next((network for network in facts.networks if network.uuid == ref.uuid), None)
    if own is None or own.bridge in {None, bridge}:
        return []
    sentence = text("The network %(network)s stands on the bridge %(bridge)s.", network=own.name, bridge=own.bridge)
    fix = text("Make a new network, and move the guests' cards to it.")
    return [Problem(text=sentence, fix=fix, field="bridge")]


def ports_stay(facts: HostFacts, ref: NetworkRef, bridge: str, uplink: str | None) -> list[Problem]:
    """A bridge that is there, and was not made with this very uplink, gets none from us: nothing would know how to
    take it out again, and a second uplink without STP makes a loop. The first that it was made with it keeps."""
    found = facts.link(bridge)
    if found is None or uplink in facts.bridges.get(bridge, ()):
        return []
    if uplink is None:
        if found.made_for != ref.uuid or found.made_with is None:
            return []
        sentence = text("%(bridge)s was made over %(link)s, which stays its port.", bridge=bridge, link=found.made_with)
        fix = text("Choose %(link)s as the uplink, or undefine the network.", link=found.made_with)
        return [Problem(text=sentence, fix=fix, field="uplink")]
    if (found.made_for, found.made_with) == (ref.uuid, uplink):  # an earlier try was interrupted
        return []
    sentence = text("%(bridge)s is there already, and its ports stay as they are.", bridge=bridge)
    fix = text("Leave the uplink empty, or choose a name for a bridge that is not there yet.")
    return [Problem(text=sentence, fix=fix, field="uplink")]


def uplink_is_not_free(facts: HostFacts, link: Link, *, field: str, lasts: bool) -> list[Problem]:
    """What the host has on the link itself moves to the bridge; what stands on it as a link of its own stays behind.

    lasts: the bridge is written into the host's configuration; by that way alone its DHCP client comes to know of it.
    """
    if link.kind == "vlan":
        sentence = text("%(link)s is a VLAN of %(parent)s.", link=link.name, parent=link.parent or "?")
        fix = text("Make a bridge over it with the tool that made the VLAN, and choose that bridge here.")
        return [Problem(text=sentence, fix=fix, field=field)]
    configuration = facts.configuration(link.name)
    handed_over = lasts and configuration is not None and configuration.client is not None
    leased = [str(address) for address in link.dynamic if address.version == 4]
    if leased and not handed_over:
        sentence = text(
            "%(link)s has its address %(address)s from DHCP: on a port its client would not hear the answers, and the "
            "lease would run out.",
            link=link.name,
            address=", ".join(leased),
        )
        fix = text(
            "Let the bridge survive a restart, where networkd, NetworkManager or dhclient leases the address; "
            "else give %(link)s a fixed one.",
            link=link.name,
        )
        return [Problem(text=sentence, fix=fix, field=field)]
    if above := _standing_on(facts, link.name):
        sentence = text("%(links)s stands on %(link)s.", links=", ".join(above), link=link.name)
        return [Problem(text=sentence, fix=text("Choose another uplink."), field=field)]
    return []


def why_it_stays(facts: HostFacts, bridge: str, ref: NetworkRef) -> Text | None:
    """Why a bridge is not taken away with the network `ref`; None when it goes.

    It goes when the panel made it and nobody else uses it: no other network, no guest, no link but its own uplink. The
    host's addresses on it go back to the uplink; without one they stay, and so does the bridge.
    """
    found = facts.link(bridge)
    if found is None or found.made_for is None:
        return text("%(bridge)s stays: the panel did not make it.", bridge=bridge)
    users = [network.name for network in facts.networks if network.uuid != ref.uuid and network.bridge == bridge]
    users += [
        guest.name
        for guest in facts.domains
        if any(card.type == "bridge" and card.source == bridge for card in guest.interfaces)
    ]
    users += [port for port in facts.bridges.get(bridge, ()) if port not in {found.made_with, found.made_with_second}]
    users += _standing_on(facts, bridge)
    if found.made_with not in facts.bridges.get(bridge, ()):
        users += links.addresses_on(found)
    if users:
        return text("%(bridge)s stays: %(users)s stands on it.", bridge=bridge, users=", ".join(users))
    return None


def lost_for_good(facts: HostFacts, ref: NetworkRef) -> list[Problem]:
    """What of the bridges that go with this network does not come again when their removal is taken back."""
    found = [link for link in facts.links if link.made_for == ref.uuid and link.vlan_filtering]
    sentences = [
        text(
            "Somebody has set %(bridge)s to tell VLANs apart. If its removal is taken back, it comes without that, "
            "and without its ports' VLANs.",
            bridge=link.name,
        )
        for link in found
        if why_it_stays(facts, link.name, ref) is None
    ]
    return [Problem(text=one, fix=text("Note down first what `bridge vlan show` says.")) for one in sentences]


def is_for_now(facts: HostFacts, bridge: str) -> bool:
    """Whether the panel made it, and wrote it nowhere."""
    found = facts.link(bridge)
    return found is not None and found.made_for is not None and facts.lasting_bridge(bridge) is None


def is_changed(facts: HostFacts, ref: NetworkRef, wanted: Wiring) -> bool:
    """Whether the bridge is there, was made for this network, and is to be another: its second uplink, its STP, its
    MTU."""
    found = facts.link(wanted.bridge)
    if found is None or found.made_for != ref.uuid:
        return False
    if wanted.mtu is not None:
        links = [found, *(facts.link(name or "") for name in (wanted.uplink, wanted.second))]
        if any(link is not None and link.mtu != wanted.mtu for link in links):
            return True
    delay = (found.forward_delay or 0) if found.stp else 0
    return (found.made_with_second, delay) != (wanted.second, wanted.forward_delay)


def drift(facts: HostFacts, ref: NetworkRef, made: Wiring) -> list[Problem]:
    """What of the bridge is not as it was made. One that others made may be as it likes, while it is there."""
    fix = text("Edit the network and update it: the panel shows what it would do, and makes it so again.")
    return [Problem(text=sentence, fix=fix) for sentence in _differences(facts, ref, made)]


def _differences(facts: HostFacts, ref: NetworkRef, made: Wiring) -> Iterator[Text]:
    found = facts.link(made.bridge)
    if found is None:
        yield text("The bridge %(bridge)s is gone.", bridge=made.bridge)
        return
    if not found.up:
        yield text("The bridge %(bridge)s is down.", bridge=made.bridge)
    for uplink in (made.uplink, made.second):
        if uplink is not None and uplink not in facts.bridges.get(made.bridge, ()):
            yield text("%(link)s is no port of %(bridge)s any more.", link=uplink, bridge=made.bridge)
    if found.made_for != ref.uuid:
        return
    if made.mtu is not None and found.mtu != made.mtu:
        yield text(
            "The MTU of %(bridge)s is %(found)s, and was made %(wanted)s.",
            bridge=made.bridge,
            found=found.mtu,
            wanted=made.mtu,
        )
    if found.stp is None:
        return
    if found.stp is not (made.forward_delay > 0):
        on = text("%(bridge)s has STP, and was made without it.", bridge=made.bridge)
        off = text("%(bridge)s has no STP, and was made with it.", bridge=made.bridge)
        yield on if found.stp else off
    elif found.stp and found.forward_delay != made.forward_delay:
        yield text(
            "The forward delay of %(bridge)s is %(found)s s, and was made %(wanted)s s.",
            bridge=made.bridge,
            found=f"{found.forward_delay or 0:g}",
            wanted=made.forward_delay,
        )


def _standing_on(facts: HostFacts, link: str) -> list[str]:
    """VLANs, macvlans and the like; a veth's other end is no such thing."""
    return [one.name for one in facts.links if one.parent == link and one.kind != "veth"]
