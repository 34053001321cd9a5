"""As much of a browser as a measurement or a load needs: cookies, the CSRF token, redirects seen."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import IO, Any


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
        with self._opener.open(self.url + path, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Where the answer redirects to; RuntimeError with the form's errors when it shows the form again."""
        token = next((str(cookie.value) for cookie in self._cookies if cookie.name == "csrftoken"), "")
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        request = urllib.request.Request(self.url + path, body, {"Referer": self.url + path})
        try:
            with self._opener.open(request, timeout=30) as answer:
                page: Any = answer.read().decode()
        except urllib.error.HTTPError as redirect:
            if redirect.code in {301, 302, 303}:
                return str(redirect.headers["Location"])
            raise
        raise RuntimeError(f"{path} showed the form again: {re.findall(r'invalid-feedback[^>]*>([^<]+)', page)}")
