"""The reader's language, time zone and colours; what the browser may load."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

import pytest
from django.test import Client, override_settings

from audit.models import AuditEvent, Outcome
from audit.record import record
from hosts.models import Host
from kvmpanel.environment import BASE_DIR
from pages.translation import translated
from tests.panel.pages import Page
from virtnet.text import Text, text

VENDOR = BASE_DIR / "static/vendor"


def test_times_are_in_utc_and_say_so_until_the_browser_has_told_its_zone(viewer_client: Client, db: None) -> None:
    event = record("log-in", Outcome.DONE, by=None)
    AuditEvent.objects.filter(pk=event.pk).update(at=datetime(2026, 5, 1, 20, 0, tzinfo=UTC))
    page = Page(viewer_client.get(f"/audit/{event.pk}/"))
    assert "2026-05-01 20:00:00 UTC" in page.words
    assert ("time", "2026-05-01T20:00:00+00:00") in [(tag, given.get("datetime")) for tag, given in page.tags]
    viewer_client.cookies["timezone"] = "Asia/Ho_Chi_Minh"
    words = Page(viewer_client.get(f"/audit/{event.pk}/")).words
    assert "2026-05-02 03:00:00" in words
    assert "UTC" not in words


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "x" * 300, "\x00", "Europe"])
def test_a_zone_that_is_none_is_utc(viewer_client: Client, zone: str) -> None:
    viewer_client.cookies["timezone"] = zone
    assert viewer_client.get("/").status_code == 200


def test_the_colours_that_a_person_chose_are_there_from_the_first_byte(viewer_client: Client) -> None:
    viewer_client.cookies["theme"] = "dark"
    assert Page(viewer_client.get("/")).tags[0][1]["data-bs-theme"] == "dark"


def test_a_made_up_colour_is_inert(viewer_client: Client) -> None:
    viewer_client.cookies["theme"] = '"><script>alert(1)</script>'
    assert not Page(viewer_client.get("/")).inline_scripts


def test_the_language_can_be_switched_without_javascript_by_anybody(client: Client, db: None) -> None:
    page = Page(client.get("/login/"))
    form = page.form("/language/")
    assert [button["value"] for button in form.buttons] == ["en", "vi"]
    answer = client.post(form.action, {**form.values, "language": "vi"})
    assert answer["Location"] == "/login/"
    assert Page(client.get("/login/")).tags[0][1]["lang"] == "vi"


def test_no_page_is_kept_by_a_shared_cache(viewer_client: Client) -> None:
    answer = viewer_client.get("/")
    assert "private" in answer["Cache-Control"]
    assert "HX-Request" in answer["Vary"]


def test_only_the_panel_itself_may_give_scripts_and_styles(viewer_client: Client) -> None:
    answer = viewer_client.get("/")
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert "style-src 'self'" in answer["Content-Security-Policy"]
    page = Page(answer)
    assert not page.inline_scripts
    for tag, given in page.tags:
        assert tag != "style"
        assert "style" not in given
        assert not [name for name in given if name.startswith("on")]
        for address in (given.get("src"), given.get("href") if tag == "link" else None):
            assert address is None or address.startswith("/static/")


def test_vendored_files_are_those_that_were_published() -> None:
    lines = [line.split("  ") for line in (VENDOR / "CHECKSUMS").read_text().splitlines()]
    listed = {name: checksum for checksum, name in lines}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name not in {"CHECKSUMS", "README.md"}
    }
    assert found == listed


def test_the_sprite_has_every_icon_that_a_template_names_and_no_other() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (BASE_DIR / "static/icons.svg").read_text()))
    named = {
        name
        for template in (BASE_DIR / "templates").rglob("*.html")
        for name in re.findall(r'{% icon "([^"]+)"', template.read_text())
    }
    assert named == sprite


def test_a_sentence_is_formatted_once() -> None:
    assert translated(text("%(name)s is busy.", name="%(name)s %d {0}")) == "%(name)s %d {0} is busy."


def test_a_line_of_the_catalogue_that_does_not_fit_falls_back_to_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.translation.gettext", lambda message: "%(other)s %d")
    assert translated(Text(message="%(name)s is busy.", values={"name": "eth0"})) == "eth0 is busy."


@override_settings(DEBUG=False)
def test_html_in_a_sentence_is_text(viewer_client: Client, host: Host) -> None:
    facts = host.read_facts().model_copy(update={"libvirt_error": text("%(x)s", x="<script>alert(1)</script>")})
    host.keep_facts(facts, datetime.now(UTC))
    host.save()
    for path in ("/", "/hosts/kvm1/"):
        page = Page(viewer_client.get(path))
        assert not page.inline_scripts
        assert "<script>alert(1)</script>" in page.text
