"""How an agent becomes a host's agent: a token, once, soon; then a person compares the fingerprint.

The token is 256 bits, so it cannot be guessed; wrong ones are recorded and slowed down all the same.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import BaseModel, ConfigDict, Field

from audit.models import Outcome
from audit.record import record, recorded_lately
from hosts.models import EnrolmentToken, Host, HostStatus
from hosts.public_key import fingerprint, public_key_from_text
from team.models import User

TOKEN_MINUTES = 15
WRONG_TOKENS = 10  # from one address …
WRONG_TOKENS_SECONDS = 300  # … in this time, then it must wait

_REFUSAL = "This token is wrong, used or expired. Make a new one on the host's page."


class EnrolmentRequest(BaseModel):
    """What an agent sends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    token: Annotated[str, Field(max_length=200)]
    public_key: Annotated[str, Field(max_length=100)]  # base64 of 32 bytes
    hostname: Annotated[str, Field(max_length=255)]


@dataclass(frozen=True)
class Enrolment:
    """What the agent is told, once."""

    host: UUID
    name: str
    redis_url: str
    panel_public_key: str
    panel_fingerprint: str


class EnrolmentRefused(Exception):
    """The sentence is for the person at the host's terminal."""


def hash_of(token: str) -> str:
    # One round is enough: the token is random, not chosen by a person.
    return hashlib.sha256(token.encode()).hexdigest()


def may_try(address: str) -> bool:
    """Whether this address has not given too many wrong tokens lately."""
    return recorded_lately("enrol-refused", seconds=WRONG_TOKENS_SECONDS, object_id=address) < WRONG_TOKENS


def record_wrong_token(address: str) -> None:
    record("enrol-refused", Outcome.REFUSED, by=None, object_type="address", object_id=address, object_name=address)


@transaction.atomic
def enrol(token: str, public_key: str, hostname: str) -> Enrolment:
    """Ties the agent's key to the token's host and makes its Redis password. The host is pending after that.

    Raises EnrolmentRefused for a token that is wrong, used or expired, with one and the same sentence, and ValueError
    for a public key that is none; the token then stays good.
    """
    key = public_key_from_text(public_key)
    panel_key = settings.ENVIRONMENT.signing_public_key.read_text().strip()
    host, made_by = _use(token)
    password = secrets.token_urlsafe(32)
    host.public_key = public_key
    host.redis_password_sha256 = hash_of(password)
    host.status = HostStatus.PENDING
    host.enrolled_at = timezone.now()
    # Another agent may count from 1 again; what is left in the old one's stream is not signed by this one's key.
    host.report_seq = 0
    host.stream_id = "0-0"
    host.nonce, host.nonce_at, host.pinged_at, host.last_report_at = "", None, None, None
    host.save()
    record(
        "enrol-host",
        Outcome.DONE,
        by=made_by,
        host=(host.pk, host.name),
        object_type="host",
        object_id=host.pk,
        object_name=host.name,
        detail={"hostname": hostname.replace("\0", ""), "fingerprint": fingerprint(key)},
    )
    return Enrolment(
        host=host.pk,
        name=host.name,
        redis_url=agent_redis_url(host, password),
        panel_public_key=panel_key,
        panel_fingerprint=fingerprint(public_key_from_text(panel_key)),
    )


def _use(token: str) -> tuple[Host, User]:
    """The token's host, locked, and who made the token.

    The host first, as whoever takes tokens back does: two who lock in different orders wait for each other for ever.
    Compare-and-set then: of two agents with one token, one gets through.
    """
    found = EnrolmentToken.objects.filter(sha256=hash_of(token)).select_related("created_by").first()
    if found is None:
        raise EnrolmentRefused(_REFUSAL)
    host = Host.objects.select_for_update().get(pk=found.host_id)
    now = timezone.now()
    if EnrolmentToken.objects.filter(pk=found.pk, used_at=None, expires_at__gt=now).update(used_at=now) != 1:
        raise EnrolmentRefused(_REFUSAL)
    return host, found.created_by


def redis_user(host: UUID) -> str:
    return f"kvm-{host}"


def agent_redis_url(host: Host, password: str) -> str:
    """Where Redis is as seen from the hosts, with this host's user."""
    parts = urlsplit(settings.ENVIRONMENT.agent_redis_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{redis_user(host.pk)}:{password}@{place}"))
