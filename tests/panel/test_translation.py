"""The Vietnamese catalogue: complete, true to its placeholders, and what a Vietnamese reader is shown."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings as panel_settings
from django.core.management import call_command
from django.test import Client
from django.utils.translation import override
from pytest_django import Settings

from pages.translation import translated
from tests.catalogues import LOCALE, Entry, read_catalogue
from tests.virtnet.samples import CASES
from virtnet.modes import MODES
from virtnet.text import Text

ROOT = LOCALE.parent
VIETNAMESE = LOCALE / "vi/LC_MESSAGES/django.po"
SOURCES = ("virtnet", "kvmagent", "kvmpanel", "pages", "hosts", "networks", "audit", "team", "templates")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Entry]:
    return read_catalogue(VIETNAMESE)


def gather(settings: Settings, monkeypatch: pytest.MonkeyPatch, directory: Path) -> dict[str, Entry]:
    """What `make messages` would leave in the catalogue, made from a copy of the sources in `directory`."""
    for source in SOURCES:
        shutil.copytree(ROOT / source, directory / source, ignore=shutil.ignore_patterns("__pycache__"))
    written = directory / VIETNAMESE.relative_to(ROOT)
    written.parent.mkdir(parents=True)
    shutil.copy(VIETNAMESE, written)
    settings.LOCALE_PATHS = [directory / "locale"]
    monkeypatch.chdir(directory)
    call_command("makemessages", locale=["vi"], verbosity=0)
    return read_catalogue(written)


def test_every_sentence_of_the_sources_is_in_the_catalogue(
    catalogue: dict[str, Entry], settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gathered = gather(settings, monkeypatch, tmp_path)
    assert len(gathered) > 500
    assert sorted(gathered.keys() - catalogue.keys()) == [], "run `make messages`, then translate"
    assert sorted(catalogue.keys() - gathered.keys()) == [], "run `make messages`: nobody says these any more"


def test_a_new_sentence_would_be_missed(
    catalogue: dict[str, Entry], settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "more.py").write_text('text("No catalogue has %(this)s.", this="x")\n')
    gathered = gather(settings, monkeypatch, tmp_path)
    assert "No catalogue has %(this)s." in gathered.keys() - catalogue.keys()
    assert gathered["No catalogue has %(this)s."].translations == [""]


def test_gathering_anew_changes_nothing_but_sentences(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gather(settings, monkeypatch, tmp_path)
    written = tmp_path / VIETNAMESE.relative_to(ROOT)
    once = written.read_text(encoding="utf-8")
    call_command("makemessages", locale=["vi"], verbosity=0)
    assert written.read_text(encoding="utf-8") == once
    assert "POT-Creation-Date" not in once
    assert re.findall(r"^#: .*\.(?:py|html):\d+", once, re.MULTILINE) == []


def test_every_sentence_is_translated_and_none_is_guessed(catalogue: dict[str, Entry]) -> None:
    assert [said for said, entry in catalogue.items() if not all(entry.translations)] == []
    assert [said for said, entry in catalogue.items() if entry.fuzzy] == []


def test_each_translation_has_the_placeholders_of_its_source(catalogue: dict[str, Entry]) -> None:
    def differing(entry: Entry) -> bool:
        wanted = set(PLACEHOLDER.findall(entry.sources[-1]))
        return any(set(PLACEHOLDER.findall(said)) != wanted for said in entry.translations)

    assert [said for said, entry in catalogue.items() if differing(entry)] == []


def test_a_sentence_ends_as_its_source_does(catalogue: dict[str, Entry]) -> None:
    ends = re.compile(r"[.:?…]$")

    def end(said: str) -> str:
        return found[0] if (found := ends.search(said)) else ""

    assert [s for s, entry in catalogue.items() if any(end(said) != end(s) for said in entry.translations)] == []


def test_msgfmt_finds_nothing_wrong(tmp_path: Path) -> None:
    command = ["msgfmt", "--check", "--check-domain", "-o", str(tmp_path / "vi.mo"), str(VIETNAMESE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def said_by_modes() -> set[str]:
    """Every sentence and title that the modes say of themselves and of who reaches whom."""
    found: set[str] = set()
    for mode in MODES.values():
        for value in vars(mode).values():
            for one in value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else [value]:
                if isinstance(one, Text):
                    found.add(one.message)
        found |= set(mode.diagram)
        for info in mode.model_fields.values():
            found |= {info.title or "", info.description or ""} - {""}
    for spec in CASES.values():
        found |= {spec.title().message, spec.effect().message}
        found |= {answer.because.message for _, answer in spec.reachability().rows()}
    return found


def test_all_that_the_modes_say_is_in_the_catalogue(catalogue: dict[str, Entry]) -> None:
    said = said_by_modes()
    assert len(said) > 80
    assert said - catalogue.keys() == set()


@pytest.mark.usefixtures("host")
def test_a_reader_can_change_the_language_and_change_it_back(viewer_client: Client) -> None:
    assert "Networks" in viewer_client.get("/hosts/kvm1/").content.decode()
    viewer_client.post("/language/", {"language": "vi", "next": "/"})
    page = viewer_client.get("/hosts/kvm1/").content.decode()
    assert '<html lang="vi"' in page
    assert "Máy ảo" in page
    viewer_client.post("/language/", {"language": "en", "next": "/"})
    assert '<html lang="en"' in viewer_client.get("/hosts/kvm1/").content.decode()


def test_a_sentence_of_an_agent_is_translated_with_its_values() -> None:
    sentence = Text(message="This host has no link %(link)s.", values={"link": "eth7"})
    with override("vi"):
        assert translated(sentence) == "Host này không có liên kết mạng eth7."
        assert translated(Text(message="Of a newer agent.")) == "Of a newer agent."
    assert {code for code, _ in panel_settings.LANGUAGES} == {"en", "vi"}
