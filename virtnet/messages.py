"""All that crosses the broker: orders to a host, reports from it, and the signed envelope of both. XML and shell
never do as orders."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from virtnet.actions import AnyAction
from virtnet.facts import HostFacts
from virtnet.spec import Problem
from virtnet.text import Text

LONGEST_DESCRIPTION = 200_000  # characters of OrderFinished.before and .after
Outcome = Literal["applied", "refused", "undone", "failed"]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Order(Message):
    """Panel -> agent. An order sent again has the same id and a fresh nonce."""

    version: Literal[1] = 1
    order: UUID
    host: UUID
    seq: Annotated[int, Field(ge=1)]  # the how-manieth order of this host; also their order of work
    action: AnyAction
    facts_digest: str  # the facts that the person saw when it was planned
    issued_at: AwareDatetime
    not_after: AwareDatetime
    nonce: str  # one that this agent published less than 120 s ago by its own clock


class Ping(Message):
    """Panel -> agent: send the facts again, and prove that you hear me. Carries no power."""

    version: Literal[1] = 1
    ping: UUID
    host: UUID
    nonce: str


class Verdict(Message):
    """Panel -> agent: whether a change that was armed stays. It lies in the host's list VERDICTS, and is repeated until
    the host has finished the order or its window is over."""

    version: Literal[1] = 1
    order: UUID
    host: UUID
    verdict: Literal["keep", "undo"]
    nonce: str  # of the OrderArmed that it answers


class Step(Message):
    """One verb and what became of it."""

    text: Text
    command: str = ""
    outcome: Literal["done", "already-so", "failed", "undone", "undo-failed"]
    detail: Text | None = None  # e.g. the error


class Heartbeat(Message):
    """Every 10 s: I live, these are my facts' digest and my newest nonce."""

    kind: Literal["heartbeat"] = "heartbeat"
    nonce: str
    facts_digest: str


class FactsReport(Message):
    kind: Literal["facts"] = "facts"
    facts: HostFacts
    pong: UUID | None = None  # the Ping that asked for them


class OrderReceived(Message):
    """The order is in the journal: it will be finished, whatever happens."""

    kind: Literal["received"] = "received"
    order: UUID


class OrderProgress(Message):
    kind: Literal["progress"] = "progress"
    order: UUID
    number: Annotated[int, Field(ge=0)]  # of the step, from 0
    step: Step


class OrderArmed(Message):
    """What could cut the host off is done, and this report came over a connection opened after it. The host puts itself
    back unless the panel says "keep" in time. `asks`: whether the panel says so by itself, or a person has to judge."""

    kind: Literal["armed"] = "armed"
    order: UUID
    nonce: Annotated[str, Field(min_length=1, max_length=100)]  # drawn after the change; the Verdict repeats it
    asks: Literal["panel", "person"]
    seconds: Annotated[float, Field(ge=0, le=3600)]  # left of the window when the report was written


class OrderFinished(Message):
    """What became of an order. `refused`: nothing was touched. `undone`: it failed and all is as before."""

    kind: Literal["finished"] = "finished"
    order: UUID
    outcome: Outcome
    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    error: Text | None = None
    before: Annotated[str, Field(max_length=LONGEST_DESCRIPTION)] = ""  # XML; nothing: it was not there
    after: Annotated[str, Field(max_length=LONGEST_DESCRIPTION)] = ""


class OrderRejected(Message):
    """Something came that is no good order for this host; nothing was done."""

    kind: Literal["rejected"] = "rejected"
    order: UUID | None = None  # as far as it could be read
    reason: Literal["malformed", "signature", "other-host", "too-old", "stale-nonce"]


AnyReport = Annotated[
    Heartbeat | FactsReport | OrderReceived | OrderProgress | OrderArmed | OrderFinished | OrderRejected,
    Field(discriminator="kind"),
]


class Report(Message):
    """Agent -> panel. seq grows by one with each report of a host, for ever: it is kept in the journal."""

    version: Literal[1] = 1
    host: UUID
    seq: Annotated[int, Field(ge=1)]
    at: AwareDatetime
    report: AnyReport
