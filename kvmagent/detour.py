"""While a link becomes a port of a bridge, or leaves it, the kernel drops what comes in by it: for a moment that lasts
milliseconds on a busy host. So packets to this host take another way into the bridge meanwhile, a veth pair of ours.

Only IP packets to the link's own MAC take it; who asks for that MAC is answered on the link. Nothing of it stays. Where
the kernel has no `fwd` of nftables the move goes without. Measured: tests/agent/test_bridge_move.py.
"""

from __future__ import annotations

from kvmagent import links
from kvmagent.guard import Batch, Run, Step, Wait
from kvmagent.persist import networkmanager

BEGIN, END = "kvmpanel-detour", "kvmpanel-port"
TABLE = "kvmpanel_detour"
LAST = 500  # after what others have said to the link's packets
FORWARDING = "3"  # BR_STATE_FORWARDING


def open_(link: str, bridge: str) -> list[Step]:
    """From here on the bridge, which is up and speaks no STP, gets what comes to the host by the link. [] where it has
    another MAC, and would not take that for its own, and where NetworkManager runs: it brings up each Ethernet link it
    does not know, and asks for a lease there. Raises NoSuchLink."""
    mac, mtu = links.mac(link), links.mtu(link)
    if mac != links.mac(bridge) or networkmanager.is_here():
        return []
    table = f"""table netdev {TABLE} {{
        chain in {{
            type filter hook ingress device "{link}" priority {LAST};
            ether daddr != {mac} accept
            icmpv6 type 133-137 accept
            ether type {{ ip, ip6 }} fwd to "{BEGIN}"
        }}
    }}"""
    # The pair neither answers nor learns, and the bridge floods nothing into it.
    pair = [
        f"link add name {BEGIN} mtu {mtu} type veth peer name {END} mtu {mtu}",
        f"link set dev {END} addrgenmode none arp off master {bridge} up",
        f"link set dev {END} type bridge_slave learning off flood off mcast_flood off bcast_flood off",
        # The last: a link that comes up before its peer drops all until the kernel has looked at its carrier again.
        f"link set dev {BEGIN} addrgenmode none arp off up",
    ]
    return [
        Batch(do="ip", options=[], lines=pair),
        Wait(do="wait", path=f"/sys/class/net/{END}/brport/state", value=FORWARDING),
        Run(do="run", command=["nft", table]),
    ]


def close() -> list[Step]:
    """From here on all is the link's own again."""
    return [Run(do="run", command=["nft", f"delete table netdev {TABLE}"])]


def remove() -> list[Step]:
    """Once it is closed: what the table sends to a link that has gone is dropped."""
    return [Batch(do="ip", options=[], lines=[f"link delete dev {BEGIN}"])]
