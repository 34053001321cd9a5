"""Who may keep an armed change or undo it, when, and what the record says of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent, Outcome
from hosts.models import Host, HostStatus
from networks import operations
from networks.confirming import to_be_told
from networks.models import Change, ChangeState, Network
from networks.outbox import first_of_each_host, is_due
from networks.reports import record_report
from team.models import Role, RoleBinding, User
from tests.panel.conftest import make_user
from tests.panel.factories import Agent, arm, nat_spec
from tests.panel.pages import Page
from virtnet.messages import OrderFinished
from virtnet.text import text

DECIDE = {"keep": operations.keep_change, "undo": operations.undo_change}


@pytest.fixture
def armed(host: Host, operator: User) -> Change:
    return arm(operations.define_network(host, nat_spec(), by=operator))


def told() -> list[tuple[str, str]]:
    """(change, verdict) of all that the worker would tell now."""
    return [(str(change.pk), change.verdict) for change in to_be_told()]


@pytest.mark.parametrize(("verdict", "outcome"), [("keep", Outcome.KEPT), ("undo", Outcome.UNDO_ASKED)])
def test_a_person_decides_and_the_record_says_who_and_when(
    armed: Change, operator: User, verdict: str, outcome: Outcome
) -> None:
    second = make_user("otto", Role.OPERATOR)
    DECIDE[verdict](armed, by=second)
    armed.refresh_from_db()
    assert (armed.state, armed.verdict, armed.verdict_by) == (ChangeState.ARMED, verdict, second)
    event = AuditEvent.objects.get(change_id=armed.pk, outcome=outcome)
    assert (event.actor_name, event.action, event.host_name) == ("otto", "define-network", "kvm1")
    assert armed.verdict_at is not None
    assert abs(event.at - armed.verdict_at) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ("keep", "keep", "otto has decided already: it is kept."),
        ("keep", "undo", "otto has decided already: it is kept."),
        ("undo", "keep", "otto has decided already: it is undone."),
    ],
)
def test_of_two_people_the_first_decides_and_the_second_is_told_so(
    armed: Change, operator: User, first: str, second: str, sentence: str
) -> None:
    DECIDE[first](armed, by=make_user("otto", Role.OPERATOR))
    with pytest.raises(operations.OperationRefused, match=sentence):
        DECIDE[second](armed, by=operator)
    armed.refresh_from_db()
    assert armed.verdict == first
    assert AuditEvent.objects.filter(outcome__in=(Outcome.KEPT, Outcome.UNDO_ASKED)).count() == 1


@pytest.mark.parametrize("verdict", ["keep", "undo"])
def test_when_the_time_is_over_nobody_decides(armed: Change, operator: User, verdict: str) -> None:
    Change.objects.update(confirm_by=timezone.now())
    with pytest.raises(operations.OperationRefused, match="too late to decide: kvm1 puts itself back"):
        DECIDE[verdict](armed, by=operator)
    assert told() == []


@pytest.mark.parametrize("state", [state for state in ChangeState if state != ChangeState.ARMED])
@pytest.mark.parametrize("verdict", ["keep", "undo"])
def test_what_does_not_wait_is_not_decided(armed: Change, operator: User, state: ChangeState, verdict: str) -> None:
    Change.objects.update(state=state)
    with pytest.raises(operations.OperationRefused, match="does not wait for a confirmation"):
        DECIDE[verdict](armed, by=operator)


@pytest.mark.parametrize("verdict", ["keep", "undo"])
def test_one_who_may_not_change_decides_nothing(armed: Change, viewer: User, stranger: User, verdict: str) -> None:
    for person in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            DECIDE[verdict](armed, by=person)
    armed.refresh_from_db()
    assert armed.verdict == ""


def test_a_verdict_that_the_record_does_not_have_is_not_told(armed: Change, operator: User) -> None:
    Change.objects.update(verdict="keep", verdict_by=operator, verdict_at=timezone.now())
    assert told() == []


def test_of_one_who_has_lost_the_right_the_verdict_is_taken_back(armed: Change, operator: User) -> None:
    second = make_user("otto", Role.OPERATOR)
    operations.keep_change(armed, by=second)
    RoleBinding.objects.filter(user=second).delete()
    assert told() == []
    armed.refresh_from_db()
    assert (armed.verdict, armed.verdict_by) == ("", None)
    event = AuditEvent.objects.get(change_id=armed.pk, outcome=Outcome.CANCELLED)
    assert (event.actor_name, event.detail["why"]) == ("otto", "otto may no longer change anything.")
    operations.undo_change(armed, by=operator)
    assert told() == [(str(armed.pk), "undo")]


def test_nobody_s_verdict_is_told_without_a_person_where_a_person_is_asked(armed: Change) -> None:
    assert told() == []
    armed.refresh_from_db()
    assert armed.verdict == ""


def test_the_panel_keeps_by_itself_what_asks_for_no_person(armed: Change, operator: User) -> None:
    Change.objects.update(asks="panel")
    assert told() == [(str(armed.pk), "keep")]
    event = AuditEvent.objects.get(change_id=armed.pk, outcome=Outcome.KEPT)
    assert (event.actor_id, event.actor_name) == (None, "")
    with pytest.raises(operations.OperationRefused, match="The panel has decided already: it is kept"):
        operations.undo_change(armed, by=operator)


def test_the_panel_keeps_nothing_for_one_who_has_lost_the_right(armed: Change, operator: User) -> None:
    Change.objects.update(asks="panel")
    RoleBinding.objects.filter(user=operator).delete()
    assert told() == [(str(armed.pk), "undo")]
    event = AuditEvent.objects.get(change_id=armed.pk, outcome=Outcome.UNDO_ASKED)
    assert event.detail["why"] == "olga may no longer change anything."


@pytest.mark.parametrize("asks", ["panel", "person"])
def test_a_host_that_is_out_of_service_is_told_nothing(armed: Change, operator: User, asks: str) -> None:
    operations.keep_change(armed, by=operator)
    Change.objects.update(asks=asks)
    Host.objects.update(status=HostStatus.REVOKED)
    assert told() == []


def test_what_the_host_made_of_it_is_recorded_with_its_reason(host: Host, agent: Agent, armed: Change) -> None:
    reason = text("Nobody kept it within %(seconds)s s.", seconds=60)
    record_report(host, agent.report(OrderFinished(order=armed.pk, outcome="undone", error=reason)))
    armed.refresh_from_db()
    assert armed.state == ChangeState.UNDONE
    event = AuditEvent.objects.get(change_id=armed.pk, outcome=Outcome.UNDONE)
    assert event.detail["why"] == "Nobody kept it within 60 s."


def test_what_a_person_took_back_is_no_failure(host: Host, agent: Agent, armed: Change, operator: User) -> None:
    operations.undo_change(armed, by=operator)
    report = OrderFinished(order=armed.pk, outcome="undone", error=text("It was to be undone."))
    record_report(host, agent.report(report))
    record_report(host, agent.report(report))  # said twice it is no bad report
    armed.refresh_from_db()
    assert armed.state == ChangeState.TAKEN_BACK
    assert not AuditEvent.objects.filter(action="bad-report").exists()
    assert AuditEvent.objects.filter(change_id=armed.pk, outcome=Outcome.TAKEN_BACK).count() == 1


def test_a_host_that_failed_though_it_was_to_be_taken_back_says_so(
    host: Host, agent: Agent, armed: Change, operator: User
) -> None:
    operations.undo_change(armed, by=operator)
    record_report(host, agent.report(OrderFinished(order=armed.pk, outcome="failed")))
    armed.refresh_from_db()
    assert armed.state == ChangeState.FAILED


def test_while_a_change_waits_the_next_one_of_its_host_waits_too(armed: Change, host: Host, operator: User) -> None:
    behind = operations.define_network(host, nat_spec("behind", number=88), by=operator)
    assert armed.is_open
    assert [change.pk for change in first_of_each_host()] == [armed.pk]
    assert not is_due(armed)
    assert behind.state == ChangeState.QUEUED


@pytest.mark.parametrize("page", ["/", "/hosts/kvm1/", "network"])
def test_the_pages_around_it_say_that_a_change_waits_and_lead_to_it(
    viewer_client: Client, armed: Change, page: str
) -> None:
    lab = Network.objects.get(host=armed.host, name="lab")  # another network of the same host
    address = f"/networks/{lab.pk}/" if page == "network" else page
    assert f"/changes/{armed.pk}/" in Page(viewer_client.get(address)).links
    Change.objects.update(state=ChangeState.APPLIED)
    alerts = [given for tag, given in Page(viewer_client.get(address)).tags if "alert" in given.get("class", "")]
    assert alerts == []


def test_the_lists_find_what_waits_and_the_record_what_was_decided(
    viewer_client: Client, armed: Change, operator: User
) -> None:
    assert "Make the network office" in Page(viewer_client.get("/changes/", {"state": "armed"})).words
    operations.undo_change(armed, by=operator)
    words = Page(viewer_client.get("/audit/", {"outcome": "undo-asked"})).words
    assert "olga" in words
    assert "office" in words
