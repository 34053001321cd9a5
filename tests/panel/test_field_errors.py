"""What is wrong with a field is told in our own words, whatever is typed into it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.translation import override
from hypothesis import given
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from networks.spec_form import spec_form
from pages.field_errors import sentence_of_error
from pages.translation import translated
from tests.panel.factories import host_facts
from tests.virtnet.generated import GENERATED, STRINGS
from virtnet.interface import DirectSource, InterfaceSpec, NetworkSource
from virtnet.modes import MODES

KNOWN_BY_ALL = "This value is not possible here."
NOT_TYPED = {"mode", "type", "source", "filter"}  # chosen, or a whole of other fields
CLASSES: list[type[BaseModel]] = [*MODES.values(), InterfaceSpec, NetworkSource, DirectSource]


def network(name: str) -> dict[str, str]:
    """Where a card is plugged in, as it is written."""
    return {"type": "network", "network": name}


def errors_of(kind: type[BaseModel], values: dict[str, Any]) -> list[ErrorDetails]:
    try:
        kind.model_validate(values)
    except ValidationError as error:
        return error.errors()
    return []


@given(STRINGS)
@GENERATED
def test_no_string_gets_a_sentence_of_pydantic_or_none_at_all(value: str) -> None:
    for kind in CLASSES:
        for found in errors_of(kind, {name: value for name in kind.model_fields if name not in NOT_TYPED}):
            assert sentence_of_error(found).message != KNOWN_BY_ALL, found["type"]


@pytest.mark.parametrize(
    ("mode", "values", "field", "english", "vietnamese"),
    [
        ("sriov", {"numvfs": "0"}, "numvfs", "Use 1 or more.", "Hãy nhập từ 1 trở lên."),
        ("sriov", {"numvfs": "65536"}, "numvfs", "Use 65535 or less.", "Hãy nhập từ 65535 trở xuống."),
        ("sriov", {"numvfs": "many"}, "numvfs", "Use a whole number.", "Hãy nhập một số nguyên."),
        ("sriov", {"vlan": "4095"}, "vlan", "Use 4094 or less.", "Hãy nhập từ 4094 trở xuống."),
        (
            "nat",
            {"gateway": "::1/64"},
            "gateway",
            "Use an IPv4 address with its prefix",
            "Hãy nhập một địa chỉ IPv4 kèm",
        ),
        (
            "nat",
            {"first_lease": "x"},
            "first_lease",
            "Use an IPv4 address, such as",
            "Hãy nhập một địa chỉ IPv4, ví dụ",
        ),
        ("nat", {"bridge": "all"}, "bridge", "The kernel keeps the name all", "Kernel giữ tên all"),
        ("nat", {"name": ""}, "name", "This field is required.", "Trường này là bắt buộc."),
    ],
)
def test_a_form_tells_it_in_the_readers_language(
    mode: str, values: dict[str, str], field: str, english: str, vietnamese: str
) -> None:
    for language, sentence in (("en", english), ("vi", vietnamese)):
        with override(language):
            form = spec_form(MODES[mode], host_facts())(values)
            assert not form.is_valid()
            assert str(form.errors[field][0]).startswith(sentence)


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"source": network("")}, "source", "Fill this in."),
        ({"source": network("x" * 1025)}, "source", "Use at most 1024 characters."),
        ({"source": {"type": "direct", "link": "eth0/1"}}, "source", "A link's name starts with a letter or digit and"),
        ({"source": {"type": "direct", "link": "eth0", "mode": "hub"}}, "source", "Choose one of those offered."),
        ({"model": "ne2000"}, "model", "Choose one of those offered."),
        ({"mac": "52:54:00"}, "mac", "A MAC address is six pairs of hexadecimal digits, such as 52:54:00:12:34:56."),
        ({"colour": "red"}, "colour", KNOWN_BY_ALL),
    ],
)
def test_a_card_is_told_of_by_its_fields(values: dict[str, str], field: str, sentence: str) -> None:
    (found,) = errors_of(InterfaceSpec, {"source": network("lab"), "mac": "52:54:00:00:00:01", **values})
    assert found["loc"][0] == field
    assert str(sentence_of_error(found)).startswith(sentence)


def test_it_is_translated_like_any_sentence() -> None:
    [found] = errors_of(InterfaceSpec, {"source": network("x" * 1025), "mac": "52:54:00:00:00:01"})
    with override("vi"):
        assert translated(sentence_of_error(found)) == "Hãy nhập nhiều nhất 1024 ký tự."
