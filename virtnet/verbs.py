"""Each verb in words: the sentence for people, the command a person would type, and the document it would read.

The recording host (preview) and the agent (progress) both take their words from here, so the two never differ. Those
of VFs are in virtnet.vf_verbs.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from virtnet import direct, inbound
from virtnet.card_filter import CardFilter
from virtnet.configuration import OWNERS, FileChange, Owner
from virtnet.interface import InterfaceSpec
from virtnet.persist.lasting import BEHIND
from virtnet.refs import DomainRef, NetworkRef
from virtnet.text import Text, text


class Verb(BaseModel):
    """One thing that a host is asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Text
    command: str
    document: str = ""  # XML or nftables text that the command reads
    left_out: Text | None = None  # what the host does beside, and the command does not say


def define_network(network: NetworkRef, xml: str) -> Verb:
    return Verb(
        text=text("Define the network %(network)s.", network=network.name),
        command=f"virsh net-define --validate {_file(network.name)}",
        document=xml,
    )


def update_network(network: NetworkRef, xml: str) -> Verb:
    return Verb(
        text=text("Update the network %(network)s.", network=network.name),
        command=f"virsh net-define --validate {_file(network.name)}",
        document=xml,
    )


def set_autostart(network: NetworkRef, autostart: bool) -> Verb:
    if autostart:
        sentence = text("Let the network %(network)s start with the host.", network=network.name)
    else:
        sentence = text("Do not let the network %(network)s start with the host.", network=network.name)
    disable = "" if autostart else " --disable"
    return Verb(text=sentence, command=f"virsh net-autostart {shlex.quote(network.name)}{disable}")


def start_network(network: NetworkRef) -> Verb:
    return Verb(
        text=text("Start the network %(network)s.", network=network.name),
        command=f"virsh net-start {shlex.quote(network.name)}",
    )


def destroy_network(network: NetworkRef) -> Verb:
    return Verb(
        text=text("Stop the network %(network)s.", network=network.name),
        command=f"virsh net-destroy {shlex.quote(network.name)}",
    )


def undefine_network(network: NetworkRef) -> Verb:
    return Verb(
        text=text("Undefine the network %(network)s.", network=network.name),
        command=f"virsh net-undefine {shlex.quote(network.name)}",
    )


def attach_interface(domain: DomainRef, interface: InterfaceSpec) -> Verb:
    return Verb(
        text=interface.source.step(domain.name, interface.mac),
        command=f"virsh attach-device {shlex.quote(domain.name)} card.xml --persistent",
        document=interface.libvirt_xml(),
    )


def detach_interface(domain: DomainRef, mac: str, kind: str = "network") -> Verb:
    """kind: libvirt's type of the card, as it was found."""
    return Verb(
        text=text("Unplug the card %(mac)s from %(domain)s.", mac=mac, domain=domain.name),
        command=f"virsh detach-interface {shlex.quote(domain.name)} {shlex.quote(kind)} --mac {mac} --persistent",
    )


def detach_vf_of_pair(domain: DomainRef, mac: str) -> Verb:
    return Verb(
        text=text("Unplug the VF of the pair %(mac)s from %(domain)s.", mac=mac, domain=domain.name),
        command=f"virsh detach-device {shlex.quote(domain.name)} vf.xml --persistent",
    )


def set_filter(domain: DomainRef, mac: str, wanted: CardFilter | None) -> Verb:
    if wanted is None:
        sentence = text("Take the network filter off the card %(mac)s of %(domain)s.", mac=mac, domain=domain.name)
    else:
        sentence = text(
            "Put the network filter %(filter)s on the card %(mac)s of %(domain)s.",
            filter=wanted.name,
            mac=mac,
            domain=domain.name,
        )
    return Verb(
        text=sentence,
        command=f"virsh update-device {shlex.quote(domain.name)} card.xml --persistent",
        document="" if wanted is None else wanted.xml(),
    )


def keep_inbound_policies(domain: DomainRef, document: str) -> Verb:
    """document: all policies of that guest, as its metadata holds them; "" for none."""
    what = '--set "$(cat guest.xml)"' if document else "--remove"
    return Verb(
        text=text("Keep with %(domain)s what may come in to its cards.", domain=domain.name),
        command=f"virsh metadata {shlex.quote(domain.name)} {inbound.NAMESPACE} --key kvmpanel {what} --live --config",
        document=document,
    )


def load_inbound_rules(ruleset: str) -> Verb:
    return Verb(
        text=text("Load the rules for what may come in to the guests' cards."),
        command="nft -f kvmpanel-guests.nft",
        document=ruleset,
    )


def load_firewall(network: NetworkRef, ruleset: str) -> Verb:
    return Verb(
        text=text("Load the firewall table with the rules of %(network)s.", network=network.name),
        command="nft -f kvmpanel.nft",
        document=ruleset,
    )


def load_firewall_without(network: NetworkRef, ruleset: str) -> Verb:
    return Verb(
        text=text("Load the firewall table without the rules of %(network)s.", network=network.name),
        command="nft -f kvmpanel.nft",
        document=ruleset,
    )


def arm_guard(links: Sequence[str], why: Text) -> Verb:
    """why: what may be cut off."""
    return Verb(
        text=text(
            "Arm the guard: unless the change is confirmed in time, it puts %(links)s back as it is now. %(why)s",
            links=", ".join(links),
            why=why,
        ),
        command="python3 -I -S guard.py /var/lib/kvmagent/guard",
    )


def await_confirmation(asks: str) -> Verb:
    if asks == "person":
        sentence = text("Wait until the panel is reached over a new connection, and a person says that it stays.")
    else:
        sentence = text("Wait until the panel answers over a new connection.")
    return Verb(text=sentence, command="kvmagent keep")


def add_bridge(bridge: str, uplink: str | None) -> Verb:
    # The uplink's own MAC: the bridge keeps it when guests' taps join, and neighbours learn nothing new.
    like_it = ""
    if uplink is not None:
        like_it = f" address $(cat /sys/class/net/{uplink}/address) mtu $(cat /sys/class/net/{uplink}/mtu)"
    return Verb(
        text=text("Make the bridge %(bridge)s.", bridge=bridge),
        command=f"ip link add name {bridge}{like_it} type bridge stp_state 0 forward_delay 0",
    )


def set_stp(bridge: str, forward_delay: int) -> Verb:
    """forward_delay: seconds, 0 without STP. A port that forwards when STP is turned on goes on forwarding; one that
    was blocked when it is turned off would stay so for a while."""
    if not forward_delay:
        command = (
            f"ip link set {bridge} type bridge stp_state 0; ip link set {bridge} type bridge forward_delay 0; "
            f"for port in $(ls /sys/class/net/{bridge}/brif); do bridge link set dev $port priority 0; "
            "bridge link set dev $port priority 32; bridge link set dev $port state 3; done"
        )
        return Verb(text=text("Turn STP off for %(bridge)s.", bridge=bridge), command=command)
    return Verb(
        text=text(
            "Turn STP on for %(bridge)s, with a forward delay of %(seconds)s s.", bridge=bridge, seconds=forward_delay
        ),
        command=f"ip link set {bridge} type bridge forward_delay {100 * forward_delay} stp_state 1",
    )


def set_mtu(mtu: int, names: Sequence[str]) -> Verb:
    """names: of a bridge and of its ports that get it too, in this order."""
    return Verb(
        text=text("Set the MTU of %(links)s to %(mtu)s.", links=", ".join(names), mtu=mtu),
        command="; ".join(f"ip link set {name} mtu {mtu}" for name in names),
    )


def delete_bridge(bridge: str) -> Verb:
    return Verb(
        text=text("Take the bridge %(bridge)s away.", bridge=bridge),
        command=f"ip link delete {bridge}",
    )


def set_master(link: str, bridge: str, *, is_second: bool = False) -> Verb:
    """is_second: of two uplinks STP keeps the other one forwarding, whatever port numbers they have."""
    behind = f"; bridge link set dev {link} priority {BEHIND}" if is_second else ""
    down = f"ip link set {link} down; " if is_second else ""
    return Verb(
        text=text("Make %(link)s a port of %(bridge)s, without IPv6 addresses of its own.", link=link, bridge=bridge),
        command=f"{down}ip link set {link} master {bridge}{behind}; sysctl -w net/ipv6/conf/{link}/disable_ipv6=1",
    )


def mark_bridge(bridge: str) -> Verb:
    return Verb(
        text=text("Note on %(bridge)s which uplinks it is made with.", bridge=bridge),
        command=f"ip link set {bridge} alias kvmpanel:…",
    )


def free(link: str, bridge: str, first: str | None, *, was_up: bool = True) -> Verb:
    """The link is as it was before it became a port. first: the uplink that stays, and at once forgets that the other
    was the better way."""
    down = "" if was_up else f"ip link set {link} down; "
    claim = f"; bridge link set dev {first} priority 0; bridge link set dev {first} priority 32" if first else ""
    return Verb(
        text=text("Take %(link)s out of %(bridge)s.", link=link, bridge=bridge),
        command=f"{down}sysctl -w net/ipv6/conf/{link}/disable_ipv6=0; ip link set {link} nomaster{claim}",
    )


def leave_to_guest(link: str) -> Verb:
    return Verb(
        text=text("Keep the host silent on %(link)s, which belongs to a guest.", link=link),
        command=f"sysctl -p /etc/sysctl.d/90-kvmpanel-{link}.conf",
        document=direct.silence(link),
    )


def take_back(link: str) -> Verb:
    return Verb(
        text=text("Let the host speak on %(link)s again.", link=link),
        command=f"rm /etc/sysctl.d/90-kvmpanel-{link}.conf; "
        f"sysctl -w net/ipv4/conf/{link}/arp_ignore=0 net/ipv6/conf/{link}/disable_ipv6=0",
    )


def move_into_bridge(link: str, bridge: str, lines: Sequence[str]) -> Verb:
    """lines: of virtnet.moves; the last command of all is the port's own sysctl."""
    return Verb(
        text=text(
            "Make %(link)s a port of %(bridge)s, which takes over its addresses, routes and neighbours.",
            link=link,
            bridge=bridge,
        ),
        command=f"ip -force -batch {link}-to-{bridge}.ip; sysctl -w net/ipv6/conf/{link}/disable_ipv6=1",
        document=_text(lines),
        left_out=text(
            "Left out here: the bridge gets the settings of %(link)s (sysctl, IPv6 token), and meanwhile packets to "
            "the host take a detour (the veth pair kvmpanel-detour), unless a second uplink joins or NetworkManager "
            "runs.",
            link=link,
        ),
    )


def move_out_of_bridge(bridge: str, link: str, lines: Sequence[str], owner: Owner | None = None) -> Verb:
    """owner: in whose files the bridge is, if in any."""
    left_out = text(
        "Left out here: meanwhile packets to the host take a detour (the veth pair kvmpanel-detour), unless "
        "NetworkManager runs."
    )
    if owner == "networkmanager":
        left_out = text(
            "Left out here: NetworkManager is told to let go of the links before, and to go on with %(link)s after "
            "(nmcli device set, nmcli connection up).",
            link=link,
        )
    return Verb(
        text=text(
            "Take the bridge %(bridge)s away; %(link)s takes back its addresses, routes and neighbours.",
            link=link,
            bridge=bridge,
        ),
        command=f"sysctl -w net/ipv6/conf/{link}/disable_ipv6=0; ip -force -batch {bridge}-to-{link}.ip",
        document=_text(lines),
        left_out=left_out,
    )


def set_up(link: str) -> Verb:
    return Verb(text=text("Set %(link)s up.", link=link), command=f"ip link set {link} up")


def persist_bridge(bridge: str, owner: Owner | None = None, files: Sequence[FileChange] = ()) -> Verb:
    """owner: None while it is not known yet. files: as virtnet.persist gives them."""
    return Verb(
        text=text(
            "Write %(bridge)s into this host's configuration, so that it is there after a restart.", bridge=bridge
        )
        if owner is None
        else text(
            "Write %(bridge)s into this host's configuration (%(owner)s), so that it is there after a restart.",
            bridge=bridge,
            owner=OWNERS[owner],
        ),
        command=_told(owner),
        document="\n".join(f"# {one.path}\n{one.after}" for one in files if one.after is not None),
        left_out=_brought_up(owner),
    )


def forget_bridge(bridge: str, owner: Owner | None = None) -> Verb:
    return Verb(
        text=text("Take %(bridge)s out of this host's configuration.", bridge=bridge)
        if owner is None
        else text("Take %(bridge)s out of this host's configuration (%(owner)s).", bridge=bridge, owner=OWNERS[owner]),
        command=_told(owner),
        left_out=_brought_up(owner),
    )


def _brought_up(owner: Owner | None) -> Text | None:
    if owner != "networkmanager":
        return None
    return text("Left out here: NetworkManager brings its profiles up where they are not (nmcli connection up).")


def _told(owner: Owner | None) -> str:
    """What tells the owner of the host's network of its new files."""
    match owner:
        case "networkd":
            return "networkctl reload"
        case "netplan":
            return "netplan generate && networkctl reload"
        case "networkmanager":
            return "nmcli connection reload"
        case _:
            return "ifquery --list"


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _file(name: str) -> str:
    return shlex.quote(f"{name}.xml")
