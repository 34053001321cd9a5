"""What on a host surprises people later: other firewalls, kernel switches, links that cannot do what is asked of them.

Found in the facts and told, with the fix in a person's words; the panel changes none of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from virtnet.facts import HostFacts
from virtnet.link_facts import AnyNetwork, Link
from virtnet.spec import Problem
from virtnet.text import Text, text

# Links that lead to a switch. A veth may lead anywhere, mostly into a container.
_TO_A_SWITCH = {"", "bond", "team", "vlan"}


def forwarding_is_dropped(facts: HostFacts) -> list[Problem]:
    """A drop is final, whatever our table accepts."""
    if not facts.filtering.dropping:
        return []
    legacy = sorted({name.split()[0] for name in facts.filtering.dropping if "-legacy " in name})
    if facts.filtering.docker:
        program = legacy[0] if legacy else "iptables"
        return [
            Problem(
                text=text("Docker's FORWARD chain drops what it does not know: guests' packets too."),
                fix=text(
                    "%(iptables)s -I DOCKER-USER -i virbr+ -j ACCEPT; %(iptables)s -I DOCKER-USER -o virbr+ -j ACCEPT",
                    iptables=program,
                ),
            )
        ]
    sentence = text(
        "Another firewall drops forwarded packets by the policy of its chain %(chain)s: guests' packets too.",
        chain=", ".join(facts.filtering.dropping),
    )
    shows = f"{legacy[0]}-save" if legacy else "nft list ruleset"
    fix = text("Accept the guests' bridges there; `%(command)s` shows it.", command=shows)
    return [Problem(text=sentence, fix=fix)]


def legacy_rules_are_unread(facts: HostFacts) -> list[Problem]:
    if not facts.filtering.legacy_unread:
        return []
    return [
        Problem(
            text=text(
                "There are rules of iptables-legacy here that the agent cannot list: they may drop guests' packets."
            ),
            fix=text("Install the package iptables, which has iptables-legacy-save."),
        )
    ]


def bridges_pass_iptables(facts: HostFacts) -> list[Problem]:
    if not facts.filtering.br_netfilter:
        return []
    fix = text("If nothing needs it (Kubernetes does): sysctl net.bridge.bridge-nf-call-iptables=0")
    if facts.filtering.dropping:
        sentence = text(
            "br_netfilter is on: packets on a bridge, between guests and to the LAN, pass the host's iptables rules "
            "too, and its FORWARD chain drops them."
        )
    else:
        sentence = text(
            "br_netfilter is on: packets on a bridge, between guests and to the LAN, pass the host's iptables rules "
            "too. Docker and other firewalls that come later may drop them."
        )
    return [Problem(text=sentence, fix=fix)]


def firewalld_runs(facts: HostFacts) -> list[Problem]:
    if not facts.filtering.firewalld:
        return []
    return [
        Problem(
            text=text("firewalld runs: it may keep guests from the host's DHCP and DNS."),
            fix=text("Put the networks' bridges into firewalld's zone libvirt."),
        )
    ]


def answers_take_another_way(facts: HostFacts) -> list[Problem]:
    """A strict rp_filter matters where a packet may come in by another link than the answer would leave by."""
    strict = {link.name for link in _doubled(facts)} & set(facts.filtering.strict_rp_filter)
    if not strict:
        return []
    sentence = text(
        "rp_filter is strict on %(links)s, and the host has more than one link there: what comes in by another link "
        "than the answer would take is dropped without a word.",
        links=", ".join(sorted(strict)),
    )
    fix = "; ".join(f"sysctl net.ipv4.conf.{link.replace('.', '/')}.rp_filter=2" for link in sorted(strict))
    return [Problem(text=sentence, fix=text("Make it loose: %(command)s", command=fix))]


def uplink_is_wireless(facts: HostFacts) -> list[Problem]:
    return [
        Problem(
            text=text("%(link)s is a Wi-Fi link: bridges and macvtap do not work over it.", link=link.name),
            fix=text("Use NAT, or a cable."),
        )
        for link in facts.links
        if link.wireless and link.up
    ]


def uplinks_make_a_loop(facts: HostFacts) -> list[Problem]:
    uplinks = Counter(link.master for link in facts.links if link.kind in _TO_A_SWITCH)
    bridges = [link.name for link in facts.links if uplinks[link.name] > 1]
    return [problem for bridge in bridges for problem in bridge_makes_a_loop(facts, bridge)]


def bridge_makes_a_loop(facts: HostFacts, bridge: str, *, and_uplink: str | None = None) -> list[Problem]:
    """Two uplinks of one bridge into one LAN send each broadcast round for ever; `and_uplink` is to become one more."""
    link = facts.link(bridge)
    if link is None or link.kind != "bridge" or link.stp is not False:
        return []
    ports = [port.name for port in facts.links if port.master == bridge and port.kind in _TO_A_SWITCH]
    uplinks = sorted({*ports, *([and_uplink] if and_uplink is not None else [])})
    if len(uplinks) < 2:
        return []
    sentence = text(
        "The bridge %(bridge)s has the uplinks %(uplinks)s and no STP: in one LAN they are a loop, and broadcasts go "
        "round until nothing else does.",
        bridge=bridge,
        uplinks=", ".join(uplinks),
    )
    fix = text("Keep one of them, make them a bond, or: ip link set %(bridge)s type bridge stp_state 1", bridge=bridge)
    return [Problem(text=sentence, fix=fix)]


def of_a_bridge(facts: HostFacts, bridge: str, uplink: str | None) -> list[Problem]:
    """What a network on this bridge meets, with `uplink` as a port."""
    return [*bridges_pass_iptables(facts), *bridge_makes_a_loop(facts, bridge, and_uplink=uplink)]


def router_advertisements_end(facts: HostFacts) -> list[Problem]:
    """A kernel that forwards IPv6 takes no router advertisements, unless accept_ra is 2: the default route runs out."""
    found = []
    for name in facts.filtering.accept_ra:
        fix = text("sysctl net.ipv6.conf.%(link)s.accept_ra=2", link=name.replace(".", "/"))
        if name in facts.filtering.forwards_ipv6:
            sentence = text(
                "The host forwards IPv6, so it takes no more router advertisements on %(link)s: its IPv6 default route "
                "there is gone, or will be.",
                link=name,
            )
        else:
            sentence = text(
                "The host has its IPv6 default route from router advertisements on %(link)s. It loses it once IPv6 is "
                "forwarded, as a routed network for guests does.",
                link=name,
            )
        found.append(Problem(text=sentence, fix=fix))
    return found


@dataclass(frozen=True)
class Look:
    """One thing to look for: its name for `kvmagent doctor`, and what to say where all is well."""

    name: str
    find: Callable[[HostFacts], list[Problem]]
    fine: Text


LOOKS = (
    Look("forward", forwarding_is_dropped, text("No firewall drops forwarded packets by its policy.")),
    Look("legacy", legacy_rules_are_unread, text("No rules of iptables-legacy are hidden from the agent.")),
    Look("br_netfilter", bridges_pass_iptables, text("br_netfilter is off.")),
    Look("firewalld", firewalld_runs, text("firewalld does not run.")),
    Look("rp_filter", answers_take_another_way, text("rp_filter drops no answers that come by another link.")),
    Look("wifi", uplink_is_wireless, text("No Wi-Fi link is up.")),
    Look("stp", uplinks_make_a_loop, text("No bridge makes a loop.")),
    Look("accept_ra", router_advertisements_end, text("No IPv6 default route depends on router advertisements.")),
)


def surprises(facts: HostFacts) -> list[Problem]:
    return [problem for look in LOOKS for problem in look.find(facts)]


def _doubled(facts: HostFacts) -> list[Link]:
    """Links that the host has more than one of in the same subnet, or with an IPv4 default route."""
    out = {route.dev for route in facts.routes if route.dst.version == 4 and route.dst.prefixlen == 0}
    doubled = out if len(out) > 1 else set()
    links_in: dict[AnyNetwork, set[str]] = defaultdict(set)
    for link in facts.links:
        for address in link.addresses:
            if address.version == 4:
                links_in[address.network].add(link.name)
    doubled |= {name for names in links_in.values() if len(names) > 1 for name in names}
    return [link for link in facts.links if link.name in doubled and link.name != "lo"]
