"""One thing that `kvmagent doctor` looked at."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from virtnet.text import Text


class Check(BaseModel):
    """One thing that was looked at. `ok`: as it should be; `warn`: some of the work will not go; `bad`: none will."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: Literal["ok", "warn", "bad"]
    text: Text
    fix: Text | None = None
