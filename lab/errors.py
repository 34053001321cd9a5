"""What the lab says when it cannot go on: the thing, and what to do about it."""


class LabError(Exception):
    """Something stands in the lab's way.

    problem: one sentence that names the thing. remedy: one sentence that says what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy
