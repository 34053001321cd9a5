"""A change's page, and the list of all."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hosts.models import Host
from networks import operations
from networks.models import OPEN_STATES, Change, ChangeState, Network
from team.models import Role, User
from tests.panel.conftest import make_user
from tests.panel.factories import arm, lab_spec, nat_spec
from tests.panel.pages import Page
from virtnet.messages import Step
from virtnet.spec import Problem
from virtnet.text import text

FINISHED = [state for state in ChangeState if state not in OPEN_STATES]


@pytest.fixture
def change(operator: User, host: Host) -> Change:
    return operations.define_network(host, nat_spec(), by=operator)


def address(change: Change, path: str = "") -> str:
    return f"/changes/{change.pk}/{path}"


def set_to(change: Change, **values: object) -> None:
    Change.objects.filter(pk=change.pk).update(**values)


def step(sentence: str, outcome: str) -> dict[str, object]:
    found = Step.model_validate({"text": text(sentence), "command": f"do {sentence}", "outcome": outcome})
    return found.model_dump(mode="json")


def test_it_shows_what_who_and_what_is_going_to_be_done(viewer_client: Client, change: Change) -> None:
    page = Page(viewer_client.get(address(change)))
    assert "Make the network office" in page.words
    assert "queued" in page.words
    assert "Asked by olga," in page.words
    assert "What will be done 1 Define the network office." in page.words
    assert {"/hosts/kvm1/", f"/networks/{change.network_id}/"} <= set(page.links)


@pytest.mark.parametrize("state", OPEN_STATES)
def test_an_open_change_asks_for_its_progress_each_second(
    viewer_client: Client, change: Change, state: ChangeState
) -> None:
    set_to(change, state=state)
    part = Page(viewer_client.get(address(change), headers={"HX-Request": "true"}))
    assert part.tags[0][1]["id"] == "progress"
    assert "every 1s" in part.tags[0][1]["hx-trigger"]
    assert part.tags[0][1]["hx-get"] == address(change)


@pytest.mark.parametrize("state", FINISHED)
def test_a_finished_change_asks_no_more(viewer_client: Client, change: Change, state: ChangeState) -> None:
    set_to(change, state=state)
    part = Page(viewer_client.get(address(change), headers={"HX-Request": "true"}))
    assert not [given for _, given in part.tags if "hx-trigger" in given]
    assert str(state.label) in part.words


def test_steps_appear_as_they_come(viewer_client: Client, change: Change) -> None:
    steps = [step("One.", "done"), step("Two.", "already-so"), step("Three.", "failed"), step("Four.", "undone")]
    set_to(change, state="running", steps=steps)
    words = Page(viewer_client.get(address(change))).words
    assert "Steps One. done do One. Two. was so already do Two. Three. failed do Three. Four. undone" in words
    assert "The same as commands do One. do Two. Copy" in words


def test_it_shows_problems_with_their_fixes_and_the_error(viewer_client: Client, change: Change) -> None:
    problem = Problem(text=text("%(link)s is busy.", link="eth0"), fix=text("Choose another."))
    set_to(
        change,
        state="refused",
        problems=[problem.model_dump(mode="json")],
        error=text("It did not work on %(host)s.", host="kvm1").model_dump(mode="json"),
    )
    words = Page(viewer_client.get(address(change))).words
    assert "eth0 is busy. Choose another." in words
    assert "It did not work on kvm1." in words


def test_it_shows_the_difference_between_before_and_after(viewer_client: Client, change: Change) -> None:
    set_to(change, state="applied", before="<a/>\n<b/>\n", after="<a/>\n<c/>\n")
    page = Page(viewer_client.get(address(change)))
    assert "-<b/>" in page.text
    assert "+<c/>" in page.text
    assert {"added", "removed"} <= {given.get("class") for tag, given in page.tags if tag == "span"}


@pytest.mark.parametrize("state", ["queued", "sent"])  # sent: it lies in the host's queue
def test_it_says_plainly_that_it_waits_for_a_silent_host(
    viewer_client: Client, operator: User, silent_host: Host, state: str
) -> None:
    waiting = operations.define_network(silent_host, nat_spec(), by=operator)
    set_to(waiting, state=state, sends=int(state == "sent"))
    words = Page(viewer_client.get(address(waiting))).words
    assert "kvm2 is silent, so this waits for it." in words
    assert ("It is too late to cancel: the host has been sent this change." in words) == (state == "sent")
    assert f"by {waiting.not_after:%Y-%m-%d %H:%M:%S} UTC, the change expires and nothing is done" in words


def test_it_cancels_what_was_never_sent(operator_client: Client, change: Change) -> None:
    form = Page(operator_client.get(address(change))).form(address(change, "cancel/"))
    assert operator_client.post(form.action, form.values)["Location"] == address(change)
    change.refresh_from_db()
    assert change.state == ChangeState.CANCELLED


def test_it_gives_up_waiting_for_a_host_that_had_begun(
    operator_client: Client, operator: User, silent_host: Host
) -> None:
    begun = operations.define_network(silent_host, nat_spec(), by=operator)
    set_to(begun, state="running", sends=1, received_at=timezone.now())
    page = Page(operator_client.get(address(begun)))
    assert "kvm2 had begun when it fell silent" in page.words
    assert operator_client.post(page.form(address(begun, "give-up/")).action)["Location"] == address(begun)
    words = Page(operator_client.get(address(begun))).words
    assert "olga gave up waiting for kvm2" in words
    assert "will not do it any more" not in words


def test_a_host_that_is_heard_of_is_waited_for(operator_client: Client, change: Change) -> None:
    set_to(change, state="running", sends=1)
    assert address(change, "give-up/") not in [form.action for form in Page(operator_client.get(address(change))).forms]
    page = Page(operator_client.post(address(change, "give-up/"), follow=True))
    assert "This change does not wait for a silent host any more." in page.words


def test_it_says_when_it_is_too_late_to_cancel(operator_client: Client, change: Change) -> None:
    set_to(change, state="sent", sends=1)
    page = Page(operator_client.post(address(change, "cancel/"), follow=True))
    assert "It is too late to cancel" in page.words
    assert address(change, "cancel/") not in [form.action for form in page.forms]


@pytest.mark.parametrize("state", [state for state in FINISHED if state != ChangeState.APPLIED])
def test_it_tries_again(operator_client: Client, change: Change, state: ChangeState) -> None:
    set_to(change, state=state)
    form = Page(operator_client.get(address(change))).form(address(change, "retry/"))
    answer = operator_client.post(form.action, form.values)
    again = Change.objects.get(retry_of=change)
    assert answer["Location"] == address(again)
    assert again.action == change.action
    assert address(again) in Page(operator_client.get(address(change))).links
    assert address(change) in Page(operator_client.get(address(again))).links


def test_it_says_why_it_cannot_be_tried_again(operator_client: Client, change: Change) -> None:
    set_to(change, state="applied")
    assert address(change, "retry/") not in [form.action for form in Page(operator_client.get(address(change))).forms]
    page = Page(operator_client.post(address(change, "retry/"), follow=True))
    assert "This change is not one to try again now." in page.words


@pytest.mark.parametrize("path", ["cancel/", "give-up/", "retry/", "keep/", "undo/"])
def test_a_viewer_a_stranger_and_a_passer_by_cannot(
    viewer_client: Client, stranger_client: Client, client: Client, change: Change, path: str
) -> None:
    assert viewer_client.post(address(change, path)).status_code == 403
    assert stranger_client.post(address(change, path)).status_code == 404
    assert client.post(address(change, path)).status_code == 302
    assert [form.action for form in Page(viewer_client.get(address(change))).forms] == ["/logout/", "/language/"]
    change.refresh_from_db()
    assert (change.state, change.verdict) == (ChangeState.QUEUED, "")


def test_a_viewer_sees_the_countdown_and_decides_nothing(viewer_client: Client, change: Change) -> None:
    arm(change)
    page = Page(viewer_client.get(address(change)))
    assert "An operator can keep it, or undo it now." in page.words
    assert [form.action for form in page.forms] == ["/logout/", "/language/"]
    assert viewer_client.post(address(change, "keep/")).status_code == 403
    change.refresh_from_db()
    assert change.verdict == ""


def test_a_stranger_finds_nothing(stranger_client: Client, change: Change) -> None:
    assert stranger_client.get(address(change)).status_code == 404
    assert stranger_client.get(f"/changes/{uuid4()}/").status_code == 404
    assert stranger_client.get("/changes/").status_code == 403


def test_other_methods_are_refused(operator_client: Client, change: Change) -> None:
    assert operator_client.post(address(change)).status_code == 405
    assert operator_client.get(address(change, "cancel/")).status_code == 405
    assert operator_client.get(address(change, "give-up/")).status_code == 405
    assert operator_client.get(address(change, "retry/")).status_code == 405
    assert operator_client.get(address(change, "keep/")).status_code == 405
    assert operator_client.get(address(change, "undo/")).status_code == 405
    assert operator_client.post("/changes/").status_code == 405


def test_an_armed_change_asks_whether_it_is_kept(operator_client: Client, change: Change) -> None:
    arm(change, seconds=43)
    page = Page(operator_client.get(address(change)))
    assert "waits for confirmation" in page.words
    assert "Keep this change? kvm1 has done it, and has reached the panel over a new connection since." in page.words
    assert change.confirm_by is not None
    assert f"43 s until {change.confirm_by:%Y-%m-%d %H:%M:%S} UTC" in page.words  # also without JavaScript
    [countdown] = [given["data-countdown"] for _, given in page.tags if "data-countdown" in given]
    assert 41 < float(countdown) <= 43


@pytest.mark.parametrize(
    ("path", "verdict", "sentence"),
    [("keep/", "keep", "It is kept olga decided so,"), ("undo/", "undo", "It is undone olga decided so,")],
)
def test_a_person_decides_by_a_button(
    operator_client: Client, viewer_client: Client, change: Change, path: str, verdict: str, sentence: str
) -> None:
    arm(change)
    form = Page(operator_client.get(address(change))).form(address(change, path))
    assert operator_client.post(form.action, form.values)["Location"] == address(change)
    change.refresh_from_db()
    assert change.verdict == verdict
    for client in (operator_client, viewer_client):
        page = Page(client.get(address(change)))
        assert sentence in page.words
        assert "kvm1 is being told." in page.words
        assert not {address(change, "keep/"), address(change, "undo/")} & {form.action for form in page.forms}


def test_a_second_person_is_told_that_it_was_decided(operator_client: Client, change: Change, operator: User) -> None:
    operations.keep_change(arm(change), by=make_user("otto", Role.OPERATOR))
    page = Page(operator_client.post(address(change, "undo/"), follow=True))
    assert "otto has decided already: it is kept." in page.words


def test_when_nobody_decided_in_time_the_page_waits_for_the_host(operator_client: Client, change: Change) -> None:
    arm(change)
    set_to(change, confirm_by=timezone.now())
    page = Page(operator_client.get(address(change)))
    assert "Nobody kept it in time" in page.words
    assert "kvm1 puts itself back without being told; this page waits for it to say so." in page.words
    assert address(change, "keep/") not in [form.action for form in page.forms]
    assert "It is too late to decide" in Page(operator_client.post(address(change, "keep/"), follow=True)).words


def test_what_was_kept_and_not_answered_in_time_promises_nothing(operator_client: Client, change: Change) -> None:
    arm(change)
    set_to(change, confirm_by=timezone.now(), verdict="keep", verdict_at=timezone.now())
    assert "If it did not hear in time, it has put itself back" in Page(operator_client.get(address(change))).words


def test_an_undone_change_says_that_the_host_put_itself_back_and_why(viewer_client: Client, change: Change) -> None:
    arm(change)
    set_to(change, state="undone", error=text("Nobody kept it in time.").model_dump(mode="json"))
    words = Page(viewer_client.get(address(change))).words
    assert "Nobody kept it in time. The host has put itself back: it is as it was before." in words


def test_what_asks_the_panel_has_no_buttons(operator_client: Client, change: Change) -> None:
    arm(change)
    set_to(change, asks="panel")
    page = Page(operator_client.get(address(change)))
    assert "the panel keeps it by itself, because the host answers" in page.words
    assert address(change, "keep/") not in [form.action for form in page.forms]


def test_the_notes_that_a_person_was_given_stand_on_the_open_change(viewer_client: Client, change: Change) -> None:
    note = Problem(text=text("Docker drops packets on %(bridge)s.", bridge="br0"), fix=text("Allow them."))
    set_to(change, notes=[note.model_dump(mode="json")])
    assert "Docker drops packets on br0. Allow them." in Page(viewer_client.get(address(change))).words


def test_the_list_names_each_change(viewer_client: Client, change: Change) -> None:
    page = Page(viewer_client.get("/changes/"))
    assert "Make the network office kvm1 olga" in page.words
    assert address(change) in page.links


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"host": "kvm1"}, {"office", "lab"}),
        ({"host": "kvm2"}, {"branch"}),
        ({"person": "OLGA"}, {"office", "lab", "branch"}),
        ({"person": "viktor"}, set()),
        ({"state": "applied"}, {"lab"}),
        ({"state": "open"}, {"office", "branch"}),
        ({"state": "not-done"}, set()),
        ({"state": "nonsense"}, set()),
        ({"text": "off"}, {"office"}),
        ({"host": "kvm", "state": "queued"}, {"office", "branch"}),
    ],
)
def test_the_list_is_filtered(
    viewer_client: Client,
    operator: User,
    change: Change,
    silent_host: Host,
    query: dict[str, str],
    found: set[str],
) -> None:
    lab = Network.objects.get(host__name="kvm1", name=lab_spec().name)
    applied = operations.set_network_autostart(lab, False, by=operator)
    set_to(applied, state="applied")
    operations.define_network(silent_host, nat_spec("branch", number=88), by=operator)
    words = Page(viewer_client.get("/changes/", query)).words
    assert {name for name in ("office", "lab", "branch") if f"the network {name}" in words} == found
    if not found:
        assert "Nothing fits" in words


def test_the_list_keeps_itself_fresh_with_its_filter(viewer_client: Client, change: Change) -> None:
    answer = viewer_client.get("/changes/?state=open", headers={"HX-Request": "true"})
    _tag, given = Page(answer).tags[0]
    assert (given["id"], given["hx-get"]) == ("list", "/changes/?state=open")
    assert address(change) in Page(answer).links


@pytest.mark.parametrize("state", ChangeState)
def test_each_state_is_open_applied_or_not_done(viewer_client: Client, change: Change, state: ChangeState) -> None:
    set_to(change, state=state)
    shown = [
        wanted
        for wanted in ("open", "applied", "not-done")
        if address(change) in Page(viewer_client.get("/changes/", {"state": wanted})).links
    ]
    assert len(shown) == 1


def test_the_list_has_pages_that_keep_the_filter(
    viewer_client: Client,
    operator: User,
    change: Change,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(2, 122):
        Change.objects.create(
            host=change.host, network=change.network, by=operator, seq=number, action=change.action,
            not_after=change.not_after,
        )  # fmt: skip
    with django_assert_max_num_queries(6):
        first = Page(viewer_client.get("/changes/", {"host": "kvm1"}))
    assert "Page 1 of 3" in first.words
    assert "?host=kvm1&page=2" in first.links
    last = Page(viewer_client.get("/changes/", {"host": "kvm1", "page": "99"}))
    assert "Page 3 of 3" in last.words


@pytest.mark.parametrize("page", ["/changes/", "host", "network", "change"])
def test_no_list_and_no_progress_fetches_what_may_be_megabytes_for_each_change(
    viewer_client: Client, change: Change, page: str
) -> None:
    set_to(change, steps=[step("Defined.", "done")])
    pages = {"host": "/hosts/kvm1/", "network": f"/networks/{change.network_id}/", "change": address(change)}
    with CaptureQueriesContext(connection) as queries:
        assert viewer_client.get(pages.get(page, page)).status_code == 200
    listing = [query["sql"] for query in queries if 'FROM "networks_change"' in query["sql"]]
    assert any('"networks_change"."action"' in sql for sql in listing)
    assert not any('"hosts_host"."facts"' in sql for sql in listing)
    if page != "change":
        assert not any('"networks_change"."after"' in sql for sql in listing)


@pytest.mark.parametrize("page", ["/changes/", "/hosts/kvm1/", "network", "change"])
def test_a_change_of_another_version_breaks_no_page(viewer_client: Client, change: Change, page: str) -> None:
    set_to(change, action={"action": "of-a-newer-panel"})
    pages = {"network": f"/networks/{change.network_id}/", "change": address(change)}
    assert "This version of the panel cannot read the change." in Page(viewer_client.get(pages.get(page, page))).text


def test_a_change_of_another_version_is_not_tried_again(operator_client: Client, change: Change) -> None:
    set_to(change, action={"action": "of-a-newer-panel"}, state=ChangeState.EXPIRED)
    answer = operator_client.post(address(change, "retry/"), follow=True)
    assert "This version of the panel cannot read the change." in Page(answer).text
    assert Change.objects.count() == 1


def test_an_empty_list_says_how_to_begin(viewer_client: Client) -> None:
    assert "No changes yet" in Page(viewer_client.get("/changes/")).words
