"""A bridge over the host's only way to the panel: kept, undone, left to itself, with the panel killed meanwhile.

The order of the tests is one story: each begins with what the one before it left on the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from lab import LabHost
from lab.panel import ADMIN, LabPanel

pytestmark = [pytest.mark.lab, pytest.mark.browser]

ARMED = 30_000  # ms until the host has armed itself
PUT_BACK = 90_000  # the window of 60 s, and the way back


@pytest.fixture
def host(panel: LabPanel) -> LabHost:
    return panel.lab.hosts[0]


@contextmanager
def another_person(chromium: Browser, panel: LabPanel, address: str) -> Iterator[Page]:
    """A second browser, logged in. It may complain: the panel is killed before its eyes."""
    context = chromium.new_context(base_url=panel.url)
    page = context.new_page()
    log_in(page, panel)
    page.goto(address)
    yield page
    context.close()


def log_in(page: Page, panel: LabPanel) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(panel.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("/")


def ask_for_the_bridge(page: Page, host: LabHost) -> None:
    page.goto(f"/hosts/{host.name}/networks/new/bridge/")
    page.locator("[name=name]").fill("lan")
    page.locator("[name=bridge]").fill("br0")
    page.locator("[name=uplink]").select_option("eth0")
    page.locator("[name=lasts]").uncheck()
    expect(page.locator("#spec")).to_contain_text("This could cut the host off")
    expect(page.locator("#spec")).to_contain_text("eth0 carries the way to the panel.")
    expect(page.locator("#spec")).to_contain_text("unless you keep the change within 60 s")
    expect(page.locator("#spec")).to_contain_text(f"+address {host.address}/24 dev br0")
    page.get_by_role("button", name="Make the network").click()


def ask_for_its_removal(page: Page, host: LabHost) -> None:
    page.goto(f"/hosts/{host.name}/")
    page.get_by_role("link", name="lan", exact=True).first.click()
    page.get_by_role("link", name="Undefine", exact=True).click()
    expect(page.get_by_text("br0 carries the way to the panel.").first).to_be_visible()
    page.get_by_role("button", name="Undefine", exact=True).click()


def wait_until_armed(page: Page) -> None:
    page.wait_for_url("**/changes/*/")
    expect(page.locator("#confirm")).to_contain_text("Keep this change?", timeout=ARMED)


def seconds_left(page: Page) -> int:
    return int(page.locator("#countdown").inner_text())


def until(page: Page) -> str:
    """The end of the window, as the server says it."""
    return page.locator(".countdown time").get_attribute("datetime") or ""


def carrier(host: LabHost) -> list[str]:
    """The links with the host's address."""
    found = json.loads(host.run(["ip", "-json", "-4", "address", "show", "to", str(host.address)]).stdout)
    return [link["ifname"] for link in found]


def test_a_bridge_over_the_way_to_the_panel_is_kept_by_a_colleague(
    page: Page, chromium: Browser, panel: LabPanel, host: LabHost
) -> None:
    ask_for_the_bridge(page, host)
    wait_until_armed(page)
    assert carrier(host) == ["br0"]
    end, left = until(page), seconds_left(page)
    page.reload()
    assert until(page) == end
    assert seconds_left(page) <= left <= 60
    with another_person(chromium, panel, page.url) as other:
        assert until(other) == end
        other.get_by_role("button", name="Keep").click()
        for one in (page, other):
            expect(one.locator("#progress")).to_contain_text("applied", timeout=20_000)
            expect(one.locator("#confirm")).to_have_count(0)
            expect(one.locator("#progress")).to_contain_text(f"kept, {ADMIN}")
    assert carrier(host) == ["br0"]


def test_its_removal_is_undone_by_a_button(page: Page, host: LabHost) -> None:
    ask_for_its_removal(page, host)
    wait_until_armed(page)
    assert carrier(host) == ["eth0"]
    page.goto(f"/hosts/{host.name}/")
    page.get_by_role("link", name="Undefine the network lan").first.click()
    page.get_by_role("button", name="Undo now").click()
    expect(page.locator("#progress")).to_contain_text("The host has put itself back", timeout=20_000)
    expect(page.locator("#progress")).to_contain_text("undone as asked")
    expect(page.locator("#progress .failed, #progress .alert-danger")).to_have_count(0)
    assert carrier(host) == ["br0"]


def test_when_nobody_decides_the_host_puts_itself_back(page: Page, host: LabHost) -> None:
    ask_for_its_removal(page, host)
    wait_until_armed(page)
    expect(page.locator("#progress")).to_contain_text("The host has put itself back", timeout=PUT_BACK)
    expect(page.locator("#progress")).to_contain_text("Nobody confirmed the change in time")
    assert carrier(host) == ["br0"]


def test_a_panel_that_is_killed_meanwhile_comes_back_with_the_same_countdown(
    page: Page, chromium: Browser, panel: LabPanel, host: LabHost
) -> None:
    ask_for_its_removal(page, host)
    wait_until_armed(page)
    with another_person(chromium, panel, page.url) as other:
        page.goto("about:blank")  # its browser would complain of the panel that is away
        end, left = until(other), seconds_left(other)
        for name in ("web", "worker"):
            panel.services[name].signal(9)
            panel.services[name].down()
        expect(other.locator("#countdown")).not_to_have_text(str(left))  # it goes on without the panel
        for name in ("worker", "web"):
            panel.services[name].up()
        panel.wait_for_page()
        other.reload()
        assert until(other) == end
        assert 0 < seconds_left(other) < left
        other.get_by_role("button", name="Keep").click()
        expect(other.locator("#progress")).to_contain_text("applied", timeout=20_000)
    assert carrier(host) == ["eth0"]
    links = json.loads(host.run(["ip", "-json", "link"]).stdout)
    assert "br0" not in [link["ifname"] for link in links]
