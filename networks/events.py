"""What the record says about a change: at its request, and when it ends."""

from __future__ import annotations

import logging

from audit.models import AuditEvent, Outcome
from audit.record import record, recorded_lately
from hosts.models import Host
from networks.models import Change
from team.models import User

log = logging.getLogger(__name__)

BAD_REPORTS = 20  # recorded of one host …
BAD_REPORTS_SECONDS = 60  # … in this time; the rest are dropped in silence


def record_change(
    change: Change, outcome: Outcome, *, by: User | None = None, by_the_panel: bool = False, why: str = ""
) -> None:
    """One event about `change`, in the name of who asked for it unless `by`, or the panel, did something to it."""
    action = change.action  # as it stands in the row: an action that this version cannot read is recorded too
    about: dict[str, str]
    if change.domain_uuid:
        about = {"object_type": "guest", "object_id": str(change.domain_uuid), "object_name": change.domain_name}
    elif pf := action.get("pf"):
        about = {"object_type": "link", "object_id": pf, "object_name": pf}
    else:
        network = action.get("network", {})
        network_id = str(change.network_id or network.get("uuid", ""))
        about = {"object_type": "network", "object_id": network_id, "object_name": network.get("name", "")}
    record(
        action.get("action", "?"),
        outcome,
        by=None if by_the_panel else by or change.by,
        host=(change.host_id, change.host.name),
        change_id=change.pk,
        before=change.before,
        after=change.after,
        detail={"action": action} | ({"why": why} if why else {}),
        **about,
    )


def was_requested(change: Change) -> bool:
    """Whether the record has the request: what nobody can be asked about is not sent."""
    return AuditEvent.objects.filter(change_id=change.pk, outcome=Outcome.REQUESTED).exists()


def was_decided(change: Change) -> bool:
    """Whether the record has the verdict on an armed change: what nobody can be asked about is not told."""
    return AuditEvent.objects.filter(change_id=change.pk, outcome__in=(Outcome.KEPT, Outcome.UNDO_ASKED)).exists()


def record_bad_report(host: Host, why: str) -> None:
    """At most a few a minute for each host, so that a bad host can fill neither the record nor the log."""
    if recorded_lately("bad-report", seconds=BAD_REPORTS_SECONDS, host=host.pk) >= BAD_REPORTS:
        return
    why = why[:1000].replace("\0", "").encode(errors="replace").decode()
    log.warning("A bad report of %s: %s", host, why)
    record(
        "bad-report",
        Outcome.REFUSED,
        by=None,
        host=(host.pk, host.name),
        object_type="host",
        object_id=host.pk,
        object_name=host.name,
        detail={"why": why},
    )
