"""Enrolment: makes the host's key, shows the panel its public half and the token, and keeps what the panel answers.

The panel answers with the host's id, its Redis user and the panel's public key, which is pinned from then on. The host
stays pending until a person has compared the fingerprint in the panel with the one printed here.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kvmagent import settings as settings_module
from kvmagent.keys import (
    UnusableKey,
    fingerprint,
    load_host_key,
    make_host_key,
    public_key_from_text,
    public_key_text,
)
from kvmagent.settings import Settings

TIMEOUT_SECONDS = 20.0
LARGEST_ANSWER = 64_000


class EnrolmentFailed(Exception):
    """Nothing was changed on the host but, at most, a new key; the sentence says what to do."""


@dataclass(frozen=True)
class Enrolled:
    name: str  # of the host, in the panel
    host_fingerprint: str
    panel_fingerprint: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    host: UUID
    name: Annotated[str, Field(max_length=200)]
    redis_url: str
    panel_public_key: str
    panel_fingerprint: str


class _Refusal(BaseModel):
    error: Annotated[str, Field(max_length=1000)]


def enrol(panel: str, token: str, *, again: bool, name: str | None, say: Callable[[str], None]) -> Enrolled:
    """Enrols this host at the panel's URL. `again` replaces an enrolment that is there. Raises EnrolmentFailed."""
    address = urlsplit(panel.rstrip("/"))
    try:
        usable = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise EnrolmentFailed(f"{panel} is no address of a panel; it looks like https://panel.example.com.")
    if settings_module.settings_file().exists() and not again:
        raise EnrolmentFailed(
            f"This host is enrolled already ({settings_module.settings_file()}). Add --again to enrol it anew."
        )
    if address.scheme == "http":
        say("The panel is reached over plain http: whoever is on the way can read the token. Use https if you can.")
    key = _host_key()
    answer = _ask(
        address,
        {
            "token": token,
            "public_key": public_key_text(key.public_key()),
            "hostname": name or socket.gethostname(),
        },
    )
    try:
        settings = Settings(
            host=answer.host,
            name=answer.name,
            panel=address.geturl(),
            redis_url=answer.redis_url,
            panel_public_key=answer.panel_public_key,
        )
        panel_fingerprint = fingerprint(public_key_from_text(answer.panel_public_key))
    except ValidationError as error:
        raise EnrolmentFailed(f"The panel at {panel} answered something else than an enrolment.") from error
    if panel_fingerprint != answer.panel_fingerprint.replace(" ", "").replace(":", "").lower():
        raise EnrolmentFailed(f"The panel at {panel} named a fingerprint that is not its key's. Nothing was kept.")
    try:
        settings_module.save(settings)
    except OSError as error:
        raise EnrolmentFailed(f"{settings_module.settings_file()} cannot be written: {error.strerror}.") from error
    return Enrolled(answer.name, fingerprint(key.public_key()), panel_fingerprint)


def _host_key() -> Ed25519PrivateKey:
    """The key that is there, from an enrolment before, else a new one."""
    path = settings_module.host_key_file()
    try:
        return load_host_key(path) if path.exists() else make_host_key(path)
    except UnusableKey as error:
        raise EnrolmentFailed(f"{error}. Remove the file and enrol again.") from error
    except OSError as error:
        raise EnrolmentFailed(f"{path} cannot be used: {error.strerror}. Run kvmagent as root.") from error


def _ask(panel: SplitResult, question: dict[str, str]) -> _Answer:
    url = f"{panel.geturl()}/enrol/"
    kind = HTTPSConnection if panel.scheme == "https" else HTTPConnection  # https verifies the certificate by default
    connection = kind(panel.hostname or "", panel.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(
            "POST",
            f"{panel.path}/enrol/",
            json.dumps(question).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        response = connection.getresponse()
        body = response.read(LARGEST_ANSWER)
    except ssl.SSLCertVerificationError as error:
        raise EnrolmentFailed(
            f"The certificate of {panel.netloc} is not trusted: {error.verify_message}. "
            "Install the certificate of its authority on this host, then try again."
        ) from error
    except (OSError, HTTPException) as error:
        raise EnrolmentFailed(
            f"The panel cannot be reached at {url}: {error}. Check the address and the way there, then try again."
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise EnrolmentFailed(_refusal(url, response.status, body))
    try:
        return _Answer.model_validate_json(body)
    except ValidationError as error:
        raise EnrolmentFailed(
            f"{url} answered something else than an enrolment. Is this the panel's address?"
        ) from error


def _refusal(url: str, status: int, body: bytes) -> str:
    try:
        return f"The panel refused: {_Refusal.model_validate_json(body).error}"
    except ValidationError:
        return f"{url} answered with status {status}. Is this the panel's address?"
