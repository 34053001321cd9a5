"""What may stand in the way of making a bridge of the host, giving it an uplink, and taking it away again."""

from __future__ import annotations

from virtnet import links
from virtnet.facts import HostFacts, Link
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import Text, text

TAPS = {"tun", "macvtap"}  # kinds of the guests' ends


def network_stays(facts: HostFacts, ref: NetworkRef, bridge: str) -> list[Problem]:
    """A network is not moved to another bridge: its guests' taps would stay behind on the former one."""
    own = next((network for network in facts.networks if network.uuid == ref.uuid), None)
    if own is None or own.bridge in {None, bridge}:
        return []
    sentence = text("The network %(network)s stands on the bridge %(bridge)s.", network=own.name, bridge=own.bridge)
    fix = text("Make a new network, and move the guests' cards to it.")
    return [Problem(text=sentence, fix=fix, field="bridge")]


def ports_stay(facts: HostFacts, ref: NetworkRef, bridge: str, uplink: str | None) -> list[Problem]:
    """A bridge that is there, and was not made with this very uplink, gets none from us: nothing would know how to
    take it out again, and a second uplink without STP makes a loop."""
    found = facts.link(bridge)
    if found is None or uplink is None or uplink in facts.bridges.get(bridge, ()):
        return []
    if (found.made_for, found.made_with) == (ref.uuid, uplink):  # an earlier try was interrupted
        return []
    sentence = text("%(bridge)s is there already, and its ports stay as they are.", bridge=bridge)
    fix = text("Leave the uplink empty, or choose a name for a bridge that is not there yet.")
    return [Problem(text=sentence, fix=fix, field="uplink")]


def uplink_is_not_free(facts: HostFacts, link: Link, *, lasts: bool) -> list[Problem]:
    """What the host has on the link itself moves to the bridge; what stands on it as a link of its own stays behind.

    lasts: the bridge is written into the host's configuration; by that way alone its DHCP client comes to know of it.
    """
    if link.kind == "vlan":
        sentence = text("%(link)s is a VLAN of %(parent)s.", link=link.name, parent=link.parent or "?")
        fix = text("Make a bridge over it with the tool that made the VLAN, and choose that bridge here.")
        return [Problem(text=sentence, fix=fix, field="uplink")]
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
        return [Problem(text=sentence, fix=fix, field="uplink")]
    if above := _standing_on(facts, link.name):
        sentence = text("%(links)s stands on %(link)s.", links=", ".join(above), link=link.name)
        return [Problem(text=sentence, fix=text("Choose another uplink."), field="uplink")]
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
    users += [port for port in facts.bridges.get(bridge, ()) if port != found.made_with]
    users += _standing_on(facts, bridge)
    if found.made_with not in facts.bridges.get(bridge, ()):
        users += links.addresses_on(found)
    if users:
        return text("%(bridge)s stays: %(users)s stands on it.", bridge=bridge, users=", ".join(users))
    return None


def _standing_on(facts: HostFacts, link: str) -> list[str]:
    """VLANs, macvlans and the like; a veth's other end is no such thing."""
    return [one.name for one in facts.links if one.parent == link and one.kind != "veth"]
