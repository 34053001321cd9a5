"""As much of a browser as a measurement or a load needs: cookies, the CSRF token, redirects seen."""

from __future__ import annotations

import html
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import IO


@dataclass(frozen=True)
class Answer:
    """status: of HTTP. location: where a redirect leads to. seconds: from the request to the last byte."""

    status: int
    page: str
    location: str
    seconds: float


class FormRefused(RuntimeError):
    """What was posted led nowhere; the message is what the page complains about."""

    def __init__(self, path: str, answer: Answer) -> None:
        super().__init__(f"{path} answered {answer.status}: {_complaints(answer.page)}")
        self.answer = answer


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """A redirect is the answer, not followed: the page behind it is not part of what is measured."""


class Browser:
    def __init__(self, url: str) -> None:
        self.url = url
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(_StayHere, urllib.request.HTTPCookieProcessor(self._cookies))

    def log_in(self, name: str, password: str) -> None:
        self.get("/login/")
        self.post("/login/", {"username": name, "password": password})

    def get(self, path: str) -> str:
        """The page. HTTPError for any other answer than 200, OSError when the web process is not there."""
        with self._opener.open(self.url + path, timeout=30) as answer:
            return str(answer.read().decode())

    def look(self, path: str) -> Answer:
        """Whatever is answered, and how fast."""
        return self._answer(urllib.request.Request(self.url + path))

    def submit(self, path: str, fields: dict[str, str]) -> Answer:
        """Posts a form; whatever is answered."""
        token = next((str(cookie.value) for cookie in self._cookies if cookie.name == "csrftoken"), "")
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        return self._answer(urllib.request.Request(self.url + path, body, {"Referer": self.url + path}))

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Where the answer redirects to. FormRefused when it is the form again, or an error's page."""
        answer = self.submit(path, fields)
        if answer.status not in {301, 302, 303}:
            raise FormRefused(path, answer)
        return answer.location

    def _answer(self, request: urllib.request.Request) -> Answer:
        begun = time.monotonic()
        try:
            answer = self._opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            status, page, location = answer.status, answer.read().decode(), answer.headers["Location"] or ""
        return Answer(status, page, location, time.monotonic() - begun)


def _complaints(page: str) -> str:
    """The text of the page's alerts, as a screen reader would tell it."""
    alerts = re.findall(r'role="alert">(.*?)</(?:div|section)>', page, re.DOTALL)
    return " / ".join(" ".join(html.unescape(re.sub(r"<[^>]*>", " ", alert)).split()) for alert in alerts)
