"""Sentences of virtnet and of the agents in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext

from virtnet.spec import Problem
from virtnet.text import Text


def translated(sentence: Text) -> str:
    """The sentence from the reader's catalogue with its values; in English where the catalogue's line does not fit.

    The values are put in once and never read as a format themselves. The result is plain text, to be escaped.
    """
    try:
        return gettext(sentence.message) % sentence.values
    except (KeyError, TypeError, ValueError):
        return str(sentence)


def sentence_of(problem: Problem) -> str:
    """What stands in the way and its fix, in one string."""
    fix = f" {translated(problem.fix)}" if problem.fix is not None else ""
    return translated(problem.text) + fix
