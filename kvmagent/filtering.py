"""What filters packets on this host beside us: nftables' chains, our own among them, and the kernel's switches."""

from __future__ import annotations

import logging

from kvmagent import nftables
from virtnet import inbound

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
