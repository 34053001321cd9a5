"""Generated strings: how many, and of which kinds. The same ones in each run; KVMPANEL_SOAK=1 gives 10,000 of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GENERATED = settings(
    max_examples=10_000 if os.environ.get("KVMPANEL_SOAK") == "1" else 500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

# What breaks out of XML, nftables, a shell, a path or a format, and what looks like nothing.
_HOSTILE = st.sampled_from(
    [
        *(
            '"/><evil/><x a="',
            "'/><evil/>",
            "]]>",
            "<!--",
            "&amp;",
            "&#10;",
            "&evil;",
            "<![CDATA[",
            "<?x?>",
            "</network>",
        ),
        *('"; drop', "\n\t\taccept", "}\ntable inet evil {", '" accept #', "*", "virbr*", "@set", "{ a, b }", "\\"),
        *("$(reboot)", "`reboot`", "; reboot", "| sh", "../../etc/passwd", "..", ".", "/dev/null", "%(x)s", "%d", "%n"),
        *("\0", "\r\n", "\x7f", "\x1b[2J", "\u202e", "\u200b", "\ufeff", "\ufffe", "\ud800", "😀", "ＥＴＨ０", "é" * 8),
        *("", " ", "\n", "0", "-1", "lo", "all", "default", "null", "true", "{}", "-h", "--all"),
        *(
            "192.168.77.1/24",
            "10.0.0.1/8",
            "10.0.0.1/255.0.0.0",
            "1.2.3.4/33",
            "::1/64",
            "fe80::1%lo",
            "fe80::%1;x/64",
            "0x7f.1",
            "010.0.0.1/24",
        ),
        *("fe80::1%lo", "fe80::%1;x/64"),
        *("52:54:00:12:34:56", "52-54-00-AB-CD-EF", "525400123456"),
    ]
)
# Some of these pass a rule, so that the accepted ones are looked at too.
_NEARLY_RIGHT = st.one_of(
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,15}", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    st.from_regex(r"(?:192\.168|172\.16|10\.[0-9]{1,2})\.[0-9]{1,3}\.[0-9]{1,3}(?:/[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"192\.168\.77\.[0-9]{1,3}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", fullmatch=True),
    st.integers(-1, 70_000).map(str),
)
_SPOILT = st.tuples(_NEARLY_RIGHT, _HOSTILE, st.booleans()).map(lambda it: it[0] + it[1] if it[2] else it[1] + it[0])

_WORDS = st.sampled_from(["bridge", "vepa", "private", "passthrough", "virtio", "e1000e", "e1000", "rtl8139"])

STRINGS = st.one_of(
    _WORDS,
    _NEARLY_RIGHT,
    _HOSTILE,
    _SPOILT,
    st.text(max_size=40),
    st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x7F), max_size=20),
    st.lists(_HOSTILE, max_size=3).map("".join),
)


@cache
def strings() -> tuple[str, ...]:
    """Twice as many of STRINGS as GENERATED says, once for a process: to draw one takes longer than to try it."""
    drawn: dict[str, None] = {}

    @settings(GENERATED, max_examples=2 * GENERATED.max_examples)
    @given(STRINGS)
    def draw(value: str) -> None:
        drawn[value] = None

    draw()
    return tuple(drawn)


def for_each_string(check: Callable[[str], None]) -> None:
    """Calls it with each string; its error names the string."""
    for value in strings():
        try:
            check(value)
        except Exception as error:
            error.add_note(f"with {value!r}")
            raise
