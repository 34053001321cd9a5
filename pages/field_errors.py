"""What pydantic finds wrong with a field, in our own words: pydantic's speak to programmers."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from virtnet.text import SpecError, Text, text

EMPTY = text("Fill this in.")
NOT_WHOLE = text("Use a whole number.")

# By pydantic's type of error. See https://docs.pydantic.dev/latest/errors/validation_errors/
_SENTENCES: dict[str, Text] = {
    "missing": EMPTY,
    "ip_v4_address": text("Use an IPv4 address, such as 192.168.77.10."),
    "ip_v4_interface": text("Use an IPv4 address with its prefix, such as 192.168.77.1/24."),
    "ip_v4_network": text("Use an IPv4 subnet with its prefix, such as 192.168.77.0/24."),
    "int_type": NOT_WHOLE,
    "int_parsing": NOT_WHOLE,
    "int_parsing_size": NOT_WHOLE,
    "int_from_float": NOT_WHOLE,
    "literal_error": text("Choose one of those offered."),
    "bool_type": text("Choose one of those offered."),
    "tuple_type": text("Choose one of those offered."),
    "bool_parsing": text("Choose one of those offered."),
    "string_unicode": text("Use plain text."),
}


def sentence_of_error(found: ErrorDetails) -> Text:
    """The sentence for one of `ValidationError.errors()`: that of the SpecError behind it where there is one."""
    context = found.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, SpecError):
        return cause.text
    match found["type"]:
        case "greater_than_equal":
            return text("Use %(least)s or more.", least=context["ge"])
        case "less_than_equal":
            return text("Use %(most)s or less.", most=context["le"])
        case "string_too_short" | "too_short" if context["min_length"] > 1:
            return text("Use at least %(least)s characters.", least=context["min_length"])
        case "string_too_short" | "too_short":
            return EMPTY
        case "string_too_long" | "too_long":
            return text("Use at most %(most)s characters.", most=context["max_length"])
        case kind:
            return _SENTENCES.get(kind, text("This value is not possible here."))
