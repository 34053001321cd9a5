"""What an operation raises when it may not be done now."""

from __future__ import annotations

from virtnet.spec import Problem
from virtnet.text import Text


class OperationRefused(Exception):
    """Nothing was written; `problems` say why and what to do instead."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(str(problem.text) for problem in problems))
        self.problems = problems


def refused(sentence: Text, fix: Text | None = None, *, field: str = "") -> OperationRefused:
    return OperationRefused(Problem(text=sentence, fix=fix, field=field))
