"""Names and times that the panel and the agents share: where an order is laid, where a report is read, how long
things last."""

from __future__ import annotations

from uuid import UUID

QUEUE = "orders"
CARRY_OUT = "kvmagent.carry_out"  # the Celery task; its one argument is a sealed Order
PING = "kvmagent.ping"  # the Celery task; its one argument is a sealed Ping
VERDICTS = (
    "verdicts"  # a list under the host's down prefix: sealed Verdicts, LPUSHed by the panel, BRPOPped by the agent
)

HEARTBEAT_SECONDS = 10.0
NONCE_SECONDS = 120.0  # how long an agent accepts a nonce that it published, by its own monotonic clock
SILENT_AFTER_SECONDS = 30.0  # without a report a host is shown as silent
RESEND_SECONDS = 3.0  # an order is sent again this often until the host has said "received"
CONFIRM_SECONDS = 60.0  # how long a change that may cut the host off waits for its verdict; then it is undone
ORDER_MINUTES = 15  # an order that has not reached its host by then expires

# A worker of this host sees nothing else (ACL `~kvm:H:dn:*`); its reports are append-only for it (`+xadd` on
# `kvm:H:up`).
STREAM_FIELD = "report"
STREAM_MAXLEN = 10_000


def down_prefix(host: UUID) -> str:
    """The global_keyprefix of the Celery transport for this host."""
    return f"kvm:{host}:dn:"


def up_stream(host: UUID) -> str:
    """The stream of this host's sealed reports; the panel takes the host's identity from this name."""
    return f"kvm:{host}:up"
