"""The files that begin are there: a file that got another name would begin last."""

from tests.conftest import LONGEST_FIRST, TESTS, TOGETHER


def test_each_file_that_is_to_begin_is_there() -> None:
    assert [name for name in (*LONGEST_FIRST, *TOGETHER) if not (TESTS / name).is_file()] == []
