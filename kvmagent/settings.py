"""What enrolment wrote: who this host is, where its Redis is, and whose orders it takes.

/etc/kvmagent/agent.json and /etc/kvmagent/host_key.pem are made by `kvmagent enrol`; nobody writes them by hand.
KVMAGENT_ETC, KVMAGENT_STATE and KVMAGENT_RUN move the directories.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kvmagent.guard import write_whole
from kvmagent.keys import public_key_from_text


def etc() -> Path:
    return Path(os.environ.get("KVMAGENT_ETC", "/etc/kvmagent"))


def state() -> Path:
    return Path(os.environ.get("KVMAGENT_STATE", "/var/lib/kvmagent"))


def runtime() -> Path:
    return Path(os.environ.get("KVMAGENT_RUN", "/run/kvmagent"))


def settings_file() -> Path:
    return etc() / "agent.json"


def host_key_file() -> Path:
    return etc() / "host_key.pem"


def journal_file() -> Path:
    return state() / "journal.sqlite3"


class NotEnrolled(Exception):
    """There are no usable settings; the sentence says what to do."""


def _public_key(text: str) -> str:
    public_key_from_text(text)
    return text


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    host: UUID
    name: str
    panel: str  # URL of the panel that this host was enrolled at
    redis_url: Annotated[str, Field(pattern=r"^rediss?://")]
    panel_public_key: Annotated[str, AfterValidator(_public_key)]  # base64 of 32 bytes, pinned at enrolment


def load() -> Settings:
    """Raises NotEnrolled when there are none, or none that can be read."""
    path = settings_file()
    try:
        return Settings.model_validate_json(path.read_text())
    except FileNotFoundError as error:
        raise NotEnrolled(
            f"{path} is not there: this host is not enrolled. Run the command that the panel shows for a new host."
        ) from error
    except PermissionError as error:
        raise NotEnrolled(f"{path} cannot be read. Run kvmagent as root.") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"]) or "the file"
        raise NotEnrolled(f"{path} is damaged ({where}: {found['msg']}). Enrol again with --again.") from error


def save(settings: Settings) -> None:
    """Writes agent.json, readable by its owner alone: it holds the password of the host's Redis user."""
    path = settings_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, f"{settings.model_dump_json(indent=2)}\n".encode())
