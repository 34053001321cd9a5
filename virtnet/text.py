"""Sentences for people that can be translated after they have crossed the wire.

A `Text` keeps the English sentence and its values apart, so that the reader's catalogue can translate the sentence:
the agent says `text("%(link)s is a port of %(bridge)s.", link="eth0", bridge="br0")` and never knows the language.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_VALUE = 4000

# A width such as %(x)1000000000s would let a host fill the panel's memory, so only the bare form is a placeholder.
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Text(BaseModel):
    """An English sentence with `%(name)s` placeholders, and their values; `str()` gives the English."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: Annotated[str, Field(min_length=1, max_length=1000)]
    values: dict[str, Annotated[str, Field(max_length=LONGEST_VALUE)]] = {}

    @model_validator(mode="after")
    def placeholders_have_values(self) -> Text:
        if "%" in _PLACEHOLDER.sub("", self.message.replace("%%", "")):
            raise ValueError("the only placeholder is %(name)s")
        if missing := set(_PLACEHOLDER.findall(self.message)) - self.values.keys():
            raise ValueError(f"no value for {sorted(missing)}")
        return self

    def __str__(self) -> str:
        return self.message % self.values


def text(message: str, **values: object) -> Text:
    """A `Text`; values become strings, cut at 4,000 characters. The catalogues are made from calls of this name."""
    return Text(message=message, values={name: str(value)[:LONGEST_VALUE] for name, value in values.items()})


def gettext_noop(message: str) -> str:
    """Marks a plain string (a field's title) for the catalogues; the panel translates it when it is shown."""
    return message


class SpecError(ValueError):
    """A spec that cannot be: the sentence, and the field that it belongs to ("" for the whole spec)."""

    def __init__(self, sentence: Text, *, field: str = "") -> None:
        super().__init__(str(sentence))
        self.text = sentence
        self.field = field
