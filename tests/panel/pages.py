"""Reads a page as a browser without JavaScript does: its forms with what they would send, its links, its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from django.http import HttpResponse
from django.http.response import HttpResponseBase

_INLINE = {"a", "b", "button", "code", "strong", "time"}


@dataclass
class Form:
    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """`forms`, `links` (href), `scripts` (inline ones), `tags` (each with its attributes) and `text` of a response."""

    def __init__(self, response: HttpResponseBase) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.inline_scripts: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._form: Form | None = None
        self._select: str | None = None
        self._in_script = False
        if not isinstance(response, HttpResponse):
            raise TypeError(f"{response!r} is no page")
        self.feed(response.content.decode())

    @property
    def words(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())

    def form(self, action: str, method: str = "post") -> Form:
        """The form that goes to this address."""
        return next(form for form in self.forms if (form.action, form.method) == (action, method))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "script":
            self._in_script = "src" not in given
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        if self._form is not None and "disabled" not in given:
            self._field(tag, given, self._form)

    def _field(self, tag: str, given: dict[str, str], form: Form) -> None:
        name = given.get("name", "")
        if tag == "button":
            form.buttons.append(given)
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in form.values):
            form.values[self._select] = given.get("value", "")
        elif tag == "input" and name:
            if given.get("type") in {"radio", "checkbox"} and "checked" not in given:
                return
            form.values[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in _INLINE:
            self.text += " "
        if tag == "form":
            self._form = None
        if tag == "select":
            self._select = None
        if tag == "script":
            self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.inline_scripts.append(data)
        else:
            self.text += data
