"""The fleet: each host, how it is trusted, and what it last said."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from virtnet.channel import SILENT_AFTER_SECONDS
from virtnet.facts import HostFacts
from virtnet.text import Text, text

LONGEST_VERSION = 50


class HostStatus(models.TextChoices):
    WAITING = "waiting", _("waiting for its agent")  # a token was made, no agent has used it
    PENDING = "pending", _("pending")  # an agent has enrolled; a person must compare the fingerprint
    ACTIVE = "active", _("active")
    REVOKED = "revoked", _("revoked")


class Host(models.Model):
    """A KVM host. Its row also holds the newest of what its agent reported."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(max_length=63, unique=True)
    status = models.CharField(max_length=20, choices=HostStatus.choices, default=HostStatus.WAITING)
    created_at = models.DateTimeField(auto_now_add=True)

    # Trust, made at enrolment
    public_key = models.CharField(max_length=64, blank=True)  # base64 of the agent's raw Ed25519 public key
    redis_password_sha256 = models.CharField(max_length=64, blank=True)  # what Redis' ACL takes as `#…`
    enrolled_at = models.DateTimeField(null=True)

    # The channel
    order_seq = models.PositiveBigIntegerField(default=0)  # of the newest Change
    report_seq = models.PositiveBigIntegerField(default=0)  # of the newest Report that was taken
    stream_id = models.CharField(max_length=50, default="0-0")  # of the newest stream entry that was taken
    last_report_at = models.DateTimeField(null=True)
    nonce = models.CharField(max_length=100, blank=True)
    nonce_at = models.DateTimeField(null=True)
    pinged_at = models.DateTimeField(null=True)
    ping_wanted = models.BooleanField(default=False)  # a report is missing, or its facts are not those kept here

    # What it found
    facts = models.JSONField(null=True)
    facts_digest = models.CharField(max_length=64, blank=True)
    facts_at = models.DateTimeField(null=True)

    # Of these facts what the overview shows, so that it reads no host's megabyte
    links_count = models.PositiveIntegerField(default=0)
    guests_count = models.PositiveIntegerField(default=0)
    libvirt_version = models.CharField(max_length=LONGEST_VERSION, blank=True)
    qemu_version = models.CharField(max_length=LONGEST_VERSION, blank=True)
    libvirt_error = models.JSONField(null=True)  # Text

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def keep_facts(self, facts: HostFacts, at: datetime) -> None:
        """Takes over what the host found at `at`; the caller saves."""
        self.facts = facts.model_dump(mode="json")
        self.facts_digest = facts.digest()
        self.facts_at = at
        self.links_count = len(facts.links)
        self.guests_count = len(facts.domains)
        self.libvirt_version = facts.versions.libvirt[:LONGEST_VERSION]
        self.qemu_version = facts.versions.qemu[:LONGEST_VERSION]
        self.libvirt_error = facts.libvirt_error.model_dump(mode="json") if facts.libvirt_error else None

    def read_libvirt_error(self) -> Text | None:
        """Why its libvirtd was away at the last report; None also for what another version of the panel wrote."""
        try:
            return Text.model_validate(self.libvirt_error) if self.libvirt_error else None
        except ValidationError:
            return None

    @property
    def is_active(self) -> bool:
        return self.status == HostStatus.ACTIVE

    @property
    def is_silent(self) -> bool:
        """An active host whose last report is too old, or that has not reported yet."""
        if not self.is_active:
            return False
        oldest = timezone.now() - timedelta(seconds=SILENT_AFTER_SECONDS)
        return self.last_report_at is None or self.last_report_at < oldest

    @property
    def shown_status(self) -> str:
        """Its status for people: an active host that says nothing is silent."""
        return gettext("silent") if self.is_silent else self.get_status_display()

    def read_facts(self) -> HostFacts:
        """The last facts; empty ones for a host that has never reported.

        Rows outlive versions: what is unknown here is left out, and what cannot be read at all is said, not raised.
        """
        if not self.facts:
            return HostFacts()
        try:
            return HostFacts.model_validate(self.facts, extra="ignore")
        except ValidationError:
            sentence = text("The last report of %(host)s came from another version and cannot be read.", host=self.name)
            return HostFacts(libvirt_error=sentence)


class EnrolmentToken(models.Model):
    """Lets one agent enrol as one host, once, soon. Only its hash is kept."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="enrolment_tokens")
    sha256 = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"token of {self.host}"
