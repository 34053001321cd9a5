"""The record, for reading."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent, Outcome
from audit.record import record
from hosts.models import Host
from networks import operations
from team.models import User
from tests.panel.factories import nat_spec
from tests.panel.pages import Page


@pytest.fixture
def events(operator: User, viewer: User) -> list[AuditEvent]:
    """Two events of two people on two hosts."""
    one = record(
        "start-network",
        Outcome.APPLIED,
        by=operator,
        host=(uuid4(), "kvm1"),
        object_type="network",
        object_name="office",
        before="<old/>",
        after="<new/>",
        detail={"reason": "because"},
    )
    return [one, record("log-in", Outcome.DONE, by=viewer, host=(uuid4(), "kvm2"))]


def test_it_shows_who_did_what_where_and_what_became_of_it(viewer_client: Client, events: list[AuditEvent]) -> None:
    page = Page(viewer_client.get("/audit/"))
    assert "olga start-network office kvm1 applied" in page.words
    assert "viktor log-in kvm2 done" in page.words
    assert f"/audit/{events[0].pk}/" in page.links


def test_it_shows_one_event_with_before_and_after(viewer_client: Client, events: list[AuditEvent]) -> None:
    page = Page(viewer_client.get(f"/audit/{events[0].pk}/"))
    assert "-<old/>" in page.text
    assert "+<new/>" in page.text
    assert "reason because" in page.words


def test_what_an_operation_did_is_there_and_leads_to_its_change(
    viewer_client: Client, operator: User, host: Host
) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    event = AuditEvent.objects.get(change_id=change.pk)
    assert "olga define-network office kvm1 requested" in Page(viewer_client.get("/audit/")).words
    assert f"/changes/{change.pk}/" in Page(viewer_client.get(f"/audit/{event.pk}/")).links


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"person": "OLG"}, {"start-network"}),
        ({"host": "kvm2"}, {"log-in"}),
        ({"action": "start"}, {"start-network"}),
        ({"about": "OFF"}, {"start-network"}),
        ({"outcome": "done"}, {"log-in"}),
        ({"since": "2026-01-01"}, {"start-network", "log-in"}),
        ({"since": "2999-01-01"}, set()),
        ({"until": "2001-01-01"}, set()),
        ({"since": "yesterday"}, set()),
        ({"outcome": "nonsense"}, set()),
        ({"person": "olga", "outcome": "done"}, set()),
    ],
)
def test_it_is_filtered(
    viewer_client: Client, events: list[AuditEvent], query: dict[str, str], found: set[str]
) -> None:
    page = Page(viewer_client.get("/audit/", query))
    assert {action for action in ("start-network", "log-in") if f" {action} " in page.words} == found
    kept = page.form("/audit/", "get").values
    assert {name: kept[name] for name in query if name != "outcome"} == {
        name: value for name, value in query.items() if name != "outcome"
    }


def test_a_day_is_the_readers_day(viewer_client: Client, events: list[AuditEvent]) -> None:
    AuditEvent.objects.filter(pk=events[0].pk).update(at=datetime(2026, 5, 1, 20, 0, tzinfo=UTC))
    viewer_client.cookies["timezone"] = "Asia/Ho_Chi_Minh"  # there it is 03:00 on 2 May
    second = Page(viewer_client.get("/audit/", {"since": "2026-05-02", "until": "2026-05-02"}))
    assert "2026-05-02 03:00:00" in second.words
    first = Page(viewer_client.get("/audit/", {"since": "2026-05-01", "until": "2026-05-01"}))
    assert "Nothing fits" in first.words


def test_a_date_that_is_none_is_said_beside_its_field(viewer_client: Client, events: list[AuditEvent]) -> None:
    page = Page(viewer_client.get("/audit/", {"since": "yesterday"}))
    assert "Enter a valid date." in page.words


@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_at_the_end_of_the_calendar_is_refused_beside_its_field(
    viewer_client: Client, events: list[AuditEvent], field: str, day: str
) -> None:
    viewer_client.cookies["timezone"] = "Asia/Ho_Chi_Minh"
    answer = viewer_client.get("/audit/", {field: day})
    assert answer.status_code == 200
    assert "Ensure this value is" in Page(answer).text


def test_it_has_pages(viewer_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(120):
        record("log-in", Outcome.DONE, by=None)
    with django_assert_max_num_queries(6):
        page = Page(viewer_client.get("/audit/", {"action": "log"}))
    assert "Page 1 of 3" in page.words
    assert "?action=log&page=2" in page.links


def test_it_refuses_who_has_no_role(stranger_client: Client, client: Client, events: list[AuditEvent]) -> None:
    assert stranger_client.get("/audit/").status_code == 403
    assert stranger_client.get(f"/audit/{events[0].pk}/").status_code == 404
    assert client.get("/audit/").status_code == 302


def test_it_is_for_reading(operator_client: Client, events: list[AuditEvent]) -> None:
    assert operator_client.post("/audit/").status_code == 405
    assert operator_client.delete(f"/audit/{events[0].pk}/").status_code == 405
