"""What filters packets on this host beside us: nftables' chains, our own among them, and the kernel's switches."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from kvmagent import firewall, legacy_iptables, nftables
from virtnet import inbound
from virtnet.facts import Filtering
from virtnet.firewall import TABLE
from virtnet.link_facts import Link, Route

SYSCTL = Path("/proc/sys/net")
BR_NETFILTER = SYSCTL / "bridge/bridge-nf-call-iptables"

log = logging.getLogger(__name__)


def judged() -> frozenset[str]:
    """The names of our chains in `table bridge kvmpanel`: a card whose chain is there is protected."""
    return frozenset(
        str(chain.get("name"))
        for chain in chains()
        if (chain.get("family"), chain.get("table")) == ("bridge", inbound.TABLE)
    )


def judges(mac: str) -> bool:
    """Whether the kernel has the rules for what comes in to this card."""
    return inbound.chain(mac) in judged()


def chains() -> list[dict[str, object]]:
    """All chains of nftables as libnftables-json(5) has them; none where there is no nftables."""
    try:
        listed = nftables.run_json("list chains")
    except (nftables.NftError, nftables.NoNftables) as error:
        log.info("nftables does not list its chains: %s", error)
        return []
    return [one["chain"] for one in listed if "chain" in one]


def in_force(ruleset: str | None) -> bool | None:
    """Whether `table inet kvmpanel` in the kernel is this very text; None where none is due, or nft does not answer."""
    if ruleset is None:
        return None
    try:
        tables = [one["table"] for one in nftables.run_json("list tables") if "table" in one]
        if ("inet", TABLE) not in {(table["family"], table["name"]) for table in tables}:
            return False
        return firewall.body(nftables.run(f"list table inet {TABLE}")) == firewall.body(ruleset)
    except (nftables.NftError, nftables.NoNftables) as error:
        log.info("nftables does not list the panel's table: %s", error)
        return None


def read(found_links: Iterable[Link], routes: Iterable[Route], ruleset: str | None = None) -> Filtering:
    """Sorted, and the same as long as nothing of it changes. ruleset: that of the panel's networks."""
    found, known = chains(), list(found_links)
    foreign = [chain for chain in found if chain.get("table") != TABLE]
    dropping = [chain for chain in foreign if (chain.get("hook"), chain.get("policy")) == ("forward", "drop")]
    names = [f"{chain.get('family')} {chain.get('table')} {chain.get('name')}" for chain in dropping]
    legacy = legacy_iptables.read()
    ra = _links_of_router_advertisements(known, routes)
    return Filtering(
        dropping=tuple(sorted([*names, *legacy.dropping])),
        docker=legacy.docker or any(str(chain.get("name", "")).startswith("DOCKER") for chain in foreign),
        legacy_unread=legacy.unread,
        rules_in_force=in_force(ruleset),
        firewalld=any(chain.get("table") == "firewalld" for chain in foreign),
        br_netfilter=_switch(BR_NETFILTER) == "1",
        strict_rp_filter=_strict(known),
        accept_ra=tuple(name for name in ra if _switch(SYSCTL / f"ipv6/conf/{name}/accept_ra") == "1"),
        forwards_ipv6=tuple(name for name in ra if _switch(SYSCTL / f"ipv6/conf/{name}/forwarding") == "1"),
    )


def _strict(found_links: Iterable[Link]) -> tuple[str, ...]:
    """Links whose rp_filter is strict: the kernel takes the larger of its own and of `all`'s; 1 is strict, 2 loose."""
    of_all = _switch(SYSCTL / "ipv4/conf/all/rp_filter")
    asked = (
        link.name
        for link in found_links
        if any(address.version == 4 and not address.is_loopback for address in link.addresses)
    )
    return tuple(sorted(name for name in asked if max(of_all, _switch(SYSCTL / f"ipv4/conf/{name}/rp_filter")) == "1"))


def _links_of_router_advertisements(found_links: Iterable[Link], routes: Iterable[Route]) -> list[str]:
    """Links that have an address or the default route from a router's advertisement."""
    out = {route.dev for route in routes if route.dst.version == 6 and route.dst.prefixlen == 0 and route.proto == "ra"}
    return sorted(
        link.name for link in found_links if link.name in out or any(address.version == 6 for address in link.dynamic)
    )


def _switch(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a kernel without it, or a link that is gone again
        return ""
