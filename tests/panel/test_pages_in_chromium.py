"""The pages in a real browser: what htmx adds, the strict CSP, phones and keyboards. No lab, no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Dialog, Page, Route, ViewportSize, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from audit.models import AuditEvent
from hosts.models import Host, HostStatus
from hosts.operations import fingerprint
from networks import operations
from networks.found import note_facts
from networks.models import Change, Network
from team.models import User
from tests.chromium import launch
from tests.panel.factories import WEB_GUEST, WEB_MAC, arm, make_host, nat_spec, network_facts
from tests.panel.test_views_hostile import PAYLOADS, change_with, hostile_facts, pages_of
from virtnet.messages import Step
from virtnet.modes import MODES
from virtnet.text import text

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = Path(__file__).parent / "vendor/axe-4.14.1.min.js"  # axe-core, MPL-2.0
expect.set_options(timeout=20_000)  # ms; Playwright's own 5 s are short for a machine that is busy
PHONE: ViewportSize = {"width": 375, "height": 800}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread; Django then refuses the ORM unless told that it is meant.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer, operator_client: Client) -> Iterator[Page]:
    """A page of an operator. What the browser complains about (CSP, a missing file, a script) fails the test."""
    context = chromium.new_context(base_url=live_server.url, timezone_id="Asia/Ho_Chi_Minh", color_scheme="light")
    session = operator_client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def add_step(change: Change, sentence: str) -> None:
    change.refresh_from_db()
    step = Step(text=text(sentence), command="true", outcome="done").model_dump(mode="json")
    Change.objects.filter(pk=change.pk).update(steps=[*change.steps, step])


def test_a_network_that_was_just_made_is_offered_when_its_host_has_told_of_it(
    page: Page, host: Host, operator: User
) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    made = Change.objects.filter(pk=change.pk)
    made.update(state="applied", finished_at=timezone.now())
    asked: list[str] = []
    page.goto(f"/hosts/{host.name}/guests/{WEB_GUEST}/attach/")
    page.on("request", lambda request: asked.append(request.url) if request.method == "GET" else None)
    page.locator("[name=source][value='network:lab']").check()
    page.locator("[name=mac]").fill("52:54:00:12:34:56")
    expect(page.get_by_text("office was made a moment ago")).to_be_visible()
    host.refresh_from_db()
    assert change.network is not None
    facts = host.read_facts()
    found = facts.model_copy(update={"networks": (*facts.networks, network_facts(nat_spec(), change.network.uuid))})
    note_facts(host, found, timezone.now())
    host.save()
    expect(page.locator("[name=source][value='network:office']")).to_be_visible()
    # What was chosen and typed meanwhile stays.
    expect(page.locator("[name=source][value='network:lab']")).to_be_checked()
    expect(page.locator("[name=mac]")).to_have_value("52:54:00:12:34:56")
    seen = len(asked)
    page.wait_for_timeout(2500)  # two more would have come by now
    assert len(asked) == seen


def test_steps_appear_and_polling_stops_when_the_change_is_finished(page: Page, host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/changes/" in request.url else None)
    page.goto(f"/changes/{change.pk}/")
    page.get_by_text("The same as commands").click()
    add_step(change, "The first step.")
    expect(page.locator("#progress")).to_contain_text("The first step.")
    Change.objects.filter(pk=change.pk).update(state="applied")
    expect(page.locator("#progress")).to_contain_text("applied")
    # What a person has opened stays open.
    expect(page.locator("#by-hand")).to_have_attribute("open", "")
    seen = len(asked)
    page.wait_for_timeout(2500)  # two and a half polls would have come by now
    assert len(asked) == seen


def test_a_countdown_goes_on_and_is_the_same_after_a_reload(page: Page, host: Host, operator: User) -> None:
    change = arm(operations.define_network(host, nat_spec(), by=operator), seconds=40)
    page.goto(f"/changes/{change.pk}/")
    countdown = page.locator("#countdown")
    first = int(countdown.inner_text())
    expect(countdown).not_to_have_text(str(first))
    page.reload()
    assert 30 < int(countdown.inner_text()) < first <= 40
    page.route("**/changes/**", lambda route: None)  # the panel does not answer: the time goes on all the same
    second = int(countdown.inner_text())
    expect(countdown).to_have_text(str(second - 3))


def test_a_change_is_kept_by_the_keyboard_and_a_second_browser_sees_it(
    page: Page, host: Host, operator: User, live_server: LiveServer, chromium: Browser
) -> None:
    change = arm(operations.define_network(host, nat_spec(), by=operator))
    cookies = page.context.cookies()
    second = chromium.new_context(base_url=live_server.url)
    second.add_cookies([{"name": c["name"], "value": c["value"], "url": live_server.url} for c in cookies])
    other = second.new_page()
    for one in (page, other):
        one.goto(f"/changes/{change.pk}/")
        expect(one.get_by_role("timer")).to_contain_text("s")
    seconds = [int(one.locator("#countdown").inner_text()) for one in (page, other)]
    assert abs(seconds[0] - seconds[1]) <= 1
    keep = page.get_by_role("button", name="Keep")
    keep.focus()
    page.wait_for_timeout(2200)  # two answers have replaced the part, and the focus has stayed
    expect(keep).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Undo now")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    for one in (page, other):
        expect(one.locator("#confirm")).to_contain_text("It is kept")
        expect(one.locator("#confirm")).to_contain_text("olga decided so")
    Change.objects.filter(pk=change.pk).update(state="applied")
    for one in (page, other):
        expect(one.locator("#confirm")).to_have_count(0)
    second.close()


def test_the_time_runs_out_before_everybody_s_eyes(page: Page, host: Host, operator: User) -> None:
    change = arm(operations.define_network(host, nat_spec(), by=operator), seconds=3)
    page.goto(f"/changes/{change.pk}/")
    expect(page.get_by_role("button", name="Keep")).to_be_visible()
    expect(page.locator("#confirm")).to_contain_text("Nobody kept it in time")
    expect(page.get_by_role("button", name="Keep")).to_have_count(0)


def test_the_form_checks_while_one_types_and_keeps_the_cursor(page: Page, host: Host) -> None:
    page.goto("/hosts/kvm1/networks/new/nat/")
    name = page.get_by_label("Name")
    name.fill("")
    name.press_sequentially("Office", delay=20)
    expect(page.locator("#id_name_errors")).to_contain_text("small letters")
    expect(name).to_be_focused()
    expect(name).to_have_value("Office")
    name.press_sequentially("1")
    name.fill("office")
    expect(page.locator("#id_name_errors")).to_have_count(0)
    expect(page.locator("#spec")).to_contain_text("Define the network office.")
    expect(name).to_be_focused()
    assert not Change.objects.exists()
    name.press("Enter")
    page.wait_for_url("**/changes/*/")
    assert Network.objects.filter(name="office").exists()


def test_an_answer_that_comes_late_takes_nothing_back_that_was_typed_meanwhile(page: Page, host: Host) -> None:
    page.goto("/hosts/kvm1/networks/new/nat/")
    held: list[Route] = []
    page.route("**/networks/new/nat/", lambda route: held.append(route), times=1)
    page.get_by_label("Name").fill("first")
    page.wait_for_timeout(700)  # the check of the name is on its way, and held
    assert len(held) == 1
    page.get_by_label("Bridge").fill("virbr77")
    page.get_by_label("Last lease").focus()
    held[0].continue_()
    expect(page.locator("#spec")).to_contain_text("virsh net-start first")
    expect(page.get_by_label("Bridge")).to_have_value("virbr77")
    expect(page.locator("#document-1")).to_contain_text("virbr77")


def test_the_reachability_follows_the_choice(page: Page, host: Host) -> None:
    page.goto("/hosts/kvm1/networks/new/macvtap/")
    page.get_by_label("Uplink", exact=True).select_option("eth1")
    page.get_by_label("Source mode").select_option("private")
    expect(page.locator("#reach")).to_contain_text("Guests on one uplink never reach each other")


def test_the_overview_keeps_itself_fresh_and_the_search_in_the_address(page: Page, host: Host) -> None:
    page.goto("/")
    page.get_by_label("Search hosts").press_sequentially("kvm2", delay=20)
    expect(page.locator("#fleet")).to_contain_text("No host is called that")
    expect(page).to_have_url("/?search=kvm2")
    expect(page.get_by_label("Search hosts")).to_be_focused()


def test_the_enrolment_goes_on_when_the_agent_has_come(page: Page) -> None:
    page.goto("/hosts/add/")
    page.get_by_label("Name").fill("kvm7")
    page.get_by_role("button", name="Make the command").click()
    expect(page.locator("#enrol-command")).to_contain_text("kvmagent enrol --panel http://")
    ready = make_host("twin", status=HostStatus.PENDING)
    public_key = ready.public_key
    Host.objects.filter(name="kvm7").update(status=HostStatus.PENDING, public_key=public_key)
    expect(page.locator("#status")).to_contain_text(fingerprint(ready))
    page.get_by_role("button", name="They are the same: approve").click()
    expect(page).to_have_url("/hosts/kvm7/")
    assert Host.objects.get(name="kvm7").status == HostStatus.ACTIVE


def test_colours_follow_the_system_until_a_person_chooses(page: Page, host: Host) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Dark or light").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


def test_times_are_local_from_the_first_page_on(page: Page, host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    Change.objects.filter(pk=change.pk).update(created_at="2026-05-01T20:00:00Z", state="applied")
    page.goto(f"/changes/{change.pk}/")
    expect(page.locator("#progress")).to_contain_text("2026-05-02 03:00:00")
    page.reload()
    expect(page.locator("#progress")).to_contain_text("2026-05-02 03:00:00")
    expect(page.locator("#progress")).not_to_contain_text("UTC")


def test_the_keyboard_skips_to_the_content(page: Page, host: Host) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_a_person_is_told_when_the_panel_does_not_answer(page: Page) -> None:
    make_host("kvm1", status=HostStatus.PENDING)
    page.goto("/hosts/kvm1/enrolment/")
    page.evaluate("htmx.trigger(document.body, 'htmx:sendError', {})")
    expect(page.locator("#offline")).to_be_visible()
    expect(page.locator("#offline")).to_be_hidden()  # the next poll is answered


def every_page(change: Change) -> list[str]:
    """The address of each page, with a host, a network, a guest and a change to show."""
    lab = Network.objects.get(name="lab")
    default = Network.objects.get(name="default")
    guest = f"/hosts/kvm1/guests/{WEB_GUEST}/"
    make_host("kvm4", status=HostStatus.PENDING)
    waiting = arm(operations.define_network(make_host("kvm7"), nat_spec(), by=change.by), seconds=600)
    return [
        *("/", "/hosts/kvm1/", "/hosts/add/", "/hosts/kvm4/enrolment/", "/hosts/kvm1/revoke/", "/modes/"),
        *(f"/modes/{mode}/" for mode in MODES),
        *("/hosts/kvm1/sriov/", "/hosts/kvm1/sriov/eth1/numvfs/", "/hosts/kvm1/sriov/eth1/vfs/0/"),
        "/hosts/kvm1/networks/new/",
        *(f"/hosts/kvm1/networks/new/{mode}/" for mode in MODES),
        *(f"/networks/{lab.pk}/", f"/networks/{lab.pk}/undefine/", f"/networks/{lab.pk}/edit/"),
        *(f"/networks/{default.pk}/", f"/networks/{default.pk}/stop/"),
        *(guest, f"{guest}attach/", f"{guest}vf/", f"{guest}detach/{WEB_MAC}/"),
        *(f"{guest}cards/{WEB_MAC}/{what}/" for what in ("filter", "inbound")),
        *(
            "/search/?q=web",
            "/changes/",
            f"/changes/{change.pk}/",
            f"/changes/{waiting.pk}/",
            "/audit/",
            f"/audit/{AuditEvent.objects.latest('pk').pk}/",
        ),
    ]


@pytest.fixture
def change(host: Host, operator: User) -> Change:
    return operations.define_network(host, nat_spec("a-very-long-name-of-a-network-1"), by=operator)


def test_no_page_scrolls_sideways_on_a_phone(page: Page, change: Change) -> None:
    page.set_viewport_size(PHONE)
    for address in every_page(change):
        page.goto(address)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, address


@pytest.mark.parametrize(
    ("colours", "rules"), [("light", ""), ("dark", "{runOnly: ['color-contrast']}")], ids=["light", "dark"]
)
def test_axe_finds_nothing_that_keeps_anybody_out(
    page: Page, change: Change, colours: Literal["light", "dark"], rules: str
) -> None:
    page.emulate_media(color_scheme=colours)
    found: list[str] = []
    for address in every_page(change):
        page.goto(address)
        page.evaluate(AXE.read_text())
        for violation in page.evaluate(f"axe.run({rules})")["violations"]:
            found += [f"{address} {violation['id']}: {node['html'][:120]}" for node in violation["nodes"]]
    assert found == []


@pytest.mark.parametrize("name", PAYLOADS[:5])
def test_a_hostile_name_runs_nothing_and_breaks_no_rule_of_the_csp(page: Page, operator: User, name: str) -> None:
    host = make_host("kvm1", facts=hostile_facts(name))
    change = change_with(name, host, operator)
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    for address in pages_of(change):
        page.goto(address)
        page.wait_for_load_state("load")
    assert dialogs == []
