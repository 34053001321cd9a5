"""What people read is marked for translation where it is written: in templates and in Python."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.catalogues import LOCALE

ROOT = LOCALE.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PACKAGES = ("virtnet", "kvmagent", "kvmpanel", "pages", "hosts", "networks", "audit", "team")

# Names and units, the same in every language
NAMES = {"kvmpanel", "kvmagent", "libvirt", "QEMU", "MTU", "UUID", "Mbit", "s", "Wi", "Fi"}
READ_ALOUD = {"title", "alt", "placeholder", "aria-label", "data-head", "data-copied", "data-selected", "label"}
# Where Django takes a string for people
FOR_PEOPLE = {"label", "help_text", "verbose_name"}

_BLOCK = re.compile(r"{%\s*blocktranslate.*?endblocktranslate\s*%}|{%\s*comment.*?endcomment\s*%}", re.DOTALL)
_TAG = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")


class Unmarked(HTMLParser):
    """The words of a template's text and spoken attributes that are neither marked nor names."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(_TAG.sub(" ", _BLOCK.sub(" ", template)))
        self.close()

    def handle_data(self, data: str) -> None:
        self.words += [word for word in _WORD.findall(data) if word not in NAMES]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in READ_ALOUD and value:
                self.handle_data(value)


def unmarked_strings(source: str) -> list[str]:
    """Plain strings given to what shows them: form labels and hints, validation errors, the messages framework."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        shown = [keyword.value for keyword in call.keywords if keyword.arg in FOR_PEOPLE]
        name = ast.unparse(call.func)
        if name.endswith("ValidationError") and call.args:
            shown.append(call.args[0])
        if name.startswith("messages.") and len(call.args) > 1:
            shown.append(call.args[1])
        found += [one.value for one in shown if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [said for said in found if said]


def hidden_from_xgettext(source: str) -> list[str]:
    """Calls of text() and gettext_noop() whose sentence is no literal: xgettext cannot read it."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call)
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in {"text", "gettext_noop"}
        and not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str))
    ]


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_a_template_marks_all_its_words(template: Path) -> None:
    assert Unmarked(template.read_text(encoding="utf-8")).words == []


def test_forms_and_messages_mark_their_strings() -> None:
    shown = {str(path): unmarked_strings(path.read_text(encoding="utf-8")) for path in sources()}
    assert len(shown) > 80
    assert {path: strings for path, strings in shown.items() if strings} == {}


def test_every_sentence_is_written_where_xgettext_reads_it() -> None:
    hidden = {str(path): hidden_from_xgettext(path.read_text(encoding="utf-8")) for path in sources()}
    assert {path: calls for path, calls in hidden.items() if calls} == {}


def test_the_searches_find_what_they_look_for() -> None:
    template = '{% load i18n %}<p title="Spoken">{% translate "Marked" %} Plain {{ host }} <b>kvmpanel</b></p>'
    assert Unmarked(template).words == ["Spoken", "Plain"]
    assert Unmarked("{% blocktranslate %}Marked {{ x }}{% endblocktranslate %}").words == []
    asked = 'f(label="Name"); f(label=_("Name")); messages.info(request, "Done"); forms.ValidationError("No")'
    assert unmarked_strings(asked) == ["Name", "Done", "No"]
    assert hidden_from_xgettext('text("seen"); text(sentence, x=1); gettext_noop(f"{x}")') == [
        "text(sentence, x=1)",
        "gettext_noop(f'{x}')",
    ]
