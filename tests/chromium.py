"""The browser that the pages are tried in."""

from __future__ import annotations

from playwright.sync_api import Browser, Playwright


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium without a window's frame; as root it has no sandbox."""
    return playwright.chromium.launch(executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox"])
