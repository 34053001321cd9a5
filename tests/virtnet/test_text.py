from __future__ import annotations

import pytest
from pydantic import ValidationError

from virtnet.text import LONGEST_VALUE, Text, text


def test_it_is_english_with_its_values() -> None:
    said = text("%(link)s has %(count)s ports.", link="br0", count=3)
    assert str(said) == "br0 has 3 ports."
    assert said.values == {"link": "br0", "count": "3"}


def test_it_comes_back_whole_over_the_wire() -> None:
    said = text("100%% of %(link)s", link='"%(x)s" <b>😀\n')
    assert Text.model_validate_json(said.model_dump_json()) == said
    assert str(said) == '100% of "%(x)s" <b>😀\n'


def test_a_value_is_never_taken_for_a_placeholder() -> None:
    assert str(text("%(a)s", a="%(b)s %s %d %%")) == "%(b)s %s %d %%"


@pytest.mark.parametrize(
    "template",
    [
        "%(x)1000000000s",
        "%(x)01000000000d",
        "%(x).1000000000f",
        "%(x)*s",
        "%(x)r",
        "%(x)c",
        "%(x)-9s",
        "%s",
        "%d",
        "%",
        "100 %",
        "%%%",
        "%%%(x)9s",
        "%()s",
        "%(x",
        "%(x.y)s",
        "%(x)(y)s",
        "% (x)s",
        "",
    ],
)
def test_it_refuses_a_template_that_is_not_plain(template: str) -> None:
    with pytest.raises(ValidationError):
        Text(message=template, values={"x": "1", "y": "1", "": "1"})


def test_it_refuses_a_placeholder_without_its_value() -> None:
    with pytest.raises(ValidationError, match="no value for"):
        Text(message="%(link)s is up.")


def test_a_value_more_than_needed_does_no_harm() -> None:
    assert str(Text(message="Up.", values={"link": "eth0"})) == "Up."


def test_a_template_and_a_value_have_their_greatest_length() -> None:
    with pytest.raises(ValidationError):
        Text(message="x" * 1001)
    with pytest.raises(ValidationError):
        Text(message="%(x)s", values={"x": "x" * (LONGEST_VALUE + 1)})
    assert len(str(text("%(x)s", x="x" * 100_000))) == LONGEST_VALUE


@pytest.mark.parametrize(
    "json",
    ['{"message":"a","extra":1}', '{"message":1}', '{"message":"a","values":{"x":1}}', '{"values":{}}', "[]", "null"],
)
def test_it_refuses_what_is_no_text(json: str) -> None:
    with pytest.raises(ValidationError):
        Text.model_validate_json(json)
