"""The whole product on a lab of its own, and a real Chromium that a person would sit at."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lab import Lab
from lab.panel import ADMIN, LabPanel
from tests.chromium import launch

expect.set_options(timeout=20_000)  # ms; Playwright's own 5 s are short for a machine that is busy


@pytest.fixture(scope="package")
def panel() -> Iterator[LabPanel]:
    """Two enrolled hosts with two running guests each."""
    with Lab(prefix=f"b{os.getpid()}", hosts=2, guests_per_host=2) as lab:
        panel = LabPanel(lab)
        try:
            panel.up()
            for host in lab.hosts:
                panel.enrol(host)
            lab.start_guests()
            for host in lab.hosts:
                panel.wait_for_facts(host)
            yield panel
        finally:
            panel.down()


@pytest.fixture(scope="package")
def chromium(panel: LabPanel) -> Iterator[Browser]:
    # After the lab: Playwright keeps an event loop running in this thread, and pyroute2 wants one of its own.
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, panel: LabPanel) -> Iterator[Page]:
    """A page that is logged in. What the browser complains about (CSP, a missing file, a script) fails the test."""
    context = chromium.new_context(base_url=panel.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/login/")
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(panel.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("/")
    yield page
    context.close()
    assert complaints == []
