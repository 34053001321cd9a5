"""Networks, guests' cards, and the changes to them.

Wire specs and actions live in JSON columns and are read through virtnet; what is filtered by is a real column.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError

from hosts.models import Host
from virtnet.actions import AnyAction
from virtnet.drift import drift
from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts
from virtnet.messages import Step
from virtnet.modes import spec_adapter
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.text import Text, text

action_adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)
steps_adapter = TypeAdapter(tuple[Step, ...])
problems_adapter = TypeAdapter(tuple[Problem, ...])


class Network(models.Model):
    """A libvirt network on a host: one that the panel wants there, or one that was found there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="networks")
    uuid = models.UUIDField()  # libvirt's; cloned hosts may share that of their `default`
    name = models.CharField(max_length=1024)
    mode = models.CharField(max_length=40)  # of MODES, else libvirt's forward mode
    spec = models.JSONField(null=True)  # AnySpec, for a network of the panel
    facts = models.JSONField(null=True)  # NetworkFacts; null while it is not (or no longer) on the host
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)  # undefined, or its making failed; the row stays for the history

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["host", "name"], condition=models.Q(removed_at=None), name="one_network_of_a_name_on_a_host"
            ),
            models.UniqueConstraint(
                fields=["host", "uuid"], condition=models.Q(removed_at=None), name="one_network_of_a_uuid_on_a_host"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"

    @property
    def ref(self) -> NetworkRef:
        return NetworkRef(uuid=self.uuid, name=self.name)

    @property
    def is_managed(self) -> bool:
        """Whether the panel made it."""
        return self.spec is not None

    def read_spec(self) -> NetworkSpec | None:
        """None also for what another version of the panel wrote, e.g. before a rule was made stricter."""
        try:
            return spec_adapter.validate_python(self.spec) if self.spec is not None else None
        except ValidationError:
            return None

    def newest_update(self) -> Change | None:
        """Of those that have become the network's spec or still may."""
        updates = self.changes.filter(action__action="update-network", state__in=(*OPEN_STATES, ChangeState.APPLIED))
        return updates.select_related("by").defer("steps", "before", "after").order_by("-created_at").first()

    def drift(self, facts: HostFacts) -> list[Problem]:
        """What of it is not as the panel made it. facts: of its host, as they were last reported."""
        spec = self.read_spec()
        return drift(spec, self.ref, facts) if spec is not None else []

    def read_facts(self) -> NetworkFacts | None:
        """None while it is not on the host, or when another version stored what cannot be read here."""
        if self.facts is None:
            return None
        try:
            return NetworkFacts.model_validate(self.facts, extra="ignore")
        except ValidationError:
            return None


class Guest(models.Model):
    """A guest as it was last found: kept as rows to find it over the fleet, also while it has no card."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="guests")
    uuid = models.UUIDField()
    name = models.CharField(max_length=1024)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"


class VmInterface(models.Model):
    """A guest's card as it was last found: kept as rows to find a MAC address or a network's guests over the fleet."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="interfaces")
    domain_uuid = models.UUIDField(db_index=True)
    domain_name = models.CharField(max_length=1024)
    mac = models.CharField(max_length=17, db_index=True)
    network_name = models.CharField(max_length=1024, blank=True)  # "" for a card that is on no libvirt network
    facts = models.JSONField()

    class Meta:
        ordering = ["domain_name", "mac"]

    def __str__(self) -> str:
        return f"{self.mac} of {self.domain_name}"

    def read_facts(self) -> InterfaceFacts | None:
        """None for what another version of the panel stored."""
        try:
            return InterfaceFacts.model_validate(self.facts, extra="ignore")
        except ValidationError:
            return None


class VfMac(models.Model):
    """A MAC address of a VF that no guest owns: kept as rows to find a MAC address over the fleet."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="vf_macs")
    pf = models.CharField(max_length=1024)
    index = models.PositiveIntegerField()
    mac = models.CharField(max_length=17, db_index=True)

    class Meta:
        ordering = ["pf", "index"]

    def __str__(self) -> str:
        return f"{self.mac} of VF {self.index} of {self.pf}"


class ChangeState(models.TextChoices):
    QUEUED = "queued", _("queued")
    SENT = "sent", _("sent")
    RUNNING = "running", _("running")  # the host has it in its journal
    ARMED = "armed", _("waits for confirmation")  # done on the host, which puts itself back unless it is kept
    APPLIED = "applied", _("applied")
    REFUSED = "refused", _("refused")
    UNDONE = "undone", _("failed, undone")
    TAKEN_BACK = "taken-back", _("undone as asked")  # while it waited for confirmation
    FAILED = "failed", _("failed")
    EXPIRED = "expired", _("expired")
    CANCELLED = "cancelled", _("cancelled")


OPEN_STATES = (ChangeState.QUEUED, ChangeState.SENT, ChangeState.RUNNING, ChangeState.ARMED)


class Verdict(models.TextChoices):
    KEEP = "keep", _("kept")
    UNDO = "undo", _("to be undone")


class Change(models.Model):
    """One order to one host: outbox, progress display and support ticket in one row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="changes")
    network = models.ForeignKey(Network, on_delete=models.PROTECT, null=True, related_name="changes")
    domain_uuid = models.UUIDField(null=True, db_index=True)
    domain_name = models.CharField(max_length=1024, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="changes")
    seq = models.PositiveBigIntegerField()
    action = models.JSONField()  # AnyAction
    facts_digest = models.CharField(max_length=64, blank=True)
    notes = models.JSONField(default=list)  # what the person was told about the host before they asked
    state = models.CharField(max_length=20, choices=ChangeState.choices, default=ChangeState.QUEUED, db_index=True)

    created_at = models.DateTimeField(auto_now_add=True)
    not_after = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)  # the last time
    sends = models.PositiveIntegerField(default=0)
    received_at = models.DateTimeField(null=True)
    heard_at = models.DateTimeField(null=True)  # the last report about it
    finished_at = models.DateTimeField(null=True)

    # Commit-confirm, for a change that may cut its host off
    asks = models.CharField(max_length=10, blank=True)  # who is to judge: "panel" or "person"
    armed_at = models.DateTimeField(null=True)
    confirm_by = models.DateTimeField(null=True)  # by the panel's clock
    confirm_nonce = models.CharField(max_length=100, blank=True)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True)
    verdict_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )  # null: the panel itself
    verdict_at = models.DateTimeField(null=True)
    verdict_sent_at = models.DateTimeField(null=True)  # the last time

    steps = models.JSONField(default=list)
    problems = models.JSONField(default=list)
    error = models.JSONField(null=True)  # Text
    before = models.TextField(blank=True)
    after = models.TextField(blank=True)
    retry_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="retries")

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["host", "seq"], name="one_change_of_a_seq_on_a_host")]

    def __str__(self) -> str:
        return f"{self.title()} on {self.host}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_armed(self) -> bool:
        return self.state == ChangeState.ARMED

    @property
    def may_be_given_up(self) -> bool:
        """The host has begun and says nothing any more: nobody knows when, or whether, it comes back."""
        return self.state in (ChangeState.RUNNING, ChangeState.ARMED) and self.host.is_silent

    def title(self) -> Text:
        """What it does, for people; also of a change that another version of the panel wrote."""
        try:
            return self.read_action().title()
        except ValidationError:
            return text("This version of the panel cannot read the change.")

    def read_action(self) -> AnyAction:
        """Raises ValidationError for what another version of the panel wrote."""
        return action_adapter.validate_python(self.action)

    def read_steps(self) -> tuple[Step, ...]:
        # Through JSON: the messages are strict, and only JSON mode takes an array for a tuple.
        return steps_adapter.validate_python(self.steps, strict=False)

    def read_notes(self) -> tuple[Problem, ...]:
        return problems_adapter.validate_python(self.notes)

    def read_problems(self) -> tuple[Problem, ...]:
        return problems_adapter.validate_python(self.problems)

    def read_error(self) -> Text | None:
        return Text.model_validate(self.error) if self.error else None
