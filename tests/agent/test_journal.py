"""Each order once, whatever is killed, and no report lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvmagent import journal as journal_module
from kvmagent.journal import Journal
from tests.agent.enrolled_host import EnrolledHost
from virtnet.messages import Order, OrderFinished, OrderRejected, Step
from virtnet.text import text

ROOT = Path(__file__).parents[2]
STEP = Step(text=text("Done."), outcome="done")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite3")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return EnrolledHost(tmp_path).order("nonce")


def waiting(journal: Journal) -> list[str]:
    """The reports in the outbox, taken out of it."""
    found = []
    while report := journal.next_report():
        found.append(report.report)
        journal.delivered(report)
    return found


def test_it_takes_an_order_once(journal: Journal, order: Order) -> None:
    assert journal.receive(order)
    assert not journal.receive(order)
    assert [entry.order for entry in journal.unfinished()] == [order]
    assert len(waiting(journal)) == 1


def test_every_commit_waits_for_the_disk_but_those_of_steps_and_deliveries(journal: Journal, order: Order) -> None:
    (level,) = journal._db.execute("PRAGMA synchronous").fetchone()
    assert level == 2  # FULL
    synchronous, commits = "FULL", []

    def trace(statement: str) -> None:
        nonlocal synchronous
        if statement.startswith("PRAGMA synchronous = "):
            synchronous = statement.rpartition(" ")[2]
        elif statement == "COMMIT":
            commits.append(synchronous)

    journal._db.set_trace_callback(trace)
    journal.receive(order)
    journal.found(order.order, "")
    journal.start(order.order)
    assert commits == ["FULL"] * 3
    commits.clear()
    journal.step(order.order, STEP)
    assert commits == ["NORMAL"]
    commits.clear()
    first = journal.next_report()
    assert first is not None
    assert commits == ["FULL"]
    commits.clear()
    journal.delivered(first)
    assert commits == ["NORMAL"]
    commits.clear()
    journal.finish(OrderFinished(order=order.order, outcome="applied"))
    journal.next_seq()
    assert set(commits) == {"FULL"}


def test_a_commit_that_fails_leaves_the_next_one_waiting_for_the_disk(journal: Journal, order: Order) -> None:
    journal._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        journal.step(order.order, STEP)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_it_gives_unfinished_orders_in_their_order_of_work(journal: Journal, tmp_path: Path) -> None:
    enrolled = EnrolledHost(tmp_path / "other")
    for seq in (3, 1, 2):
        journal.receive(enrolled.order("nonce", seq=seq))
    assert [entry.order.seq for entry in journal.unfinished()] == [1, 2, 3]


def test_it_keeps_what_the_first_try_found(journal: Journal, order: Order) -> None:
    journal.receive(order)
    journal.found(order.order, "first")
    journal.start(order.order)
    journal.found(order.order, "second")
    (entry,) = journal.unfinished()
    assert (entry.tries, entry.before) == (2, "first")


def test_steps_are_numbered_over_all_tries(journal: Journal, order: Order) -> None:
    journal.receive(order)
    journal.step(order.order, STEP)
    journal.start(order.order)
    journal.step(order.order, STEP)
    numbers = [report for report in waiting(journal) if '"progress"' in report]
    assert ['"number":0' in numbers[0], '"number":1' in numbers[1]] == [True, True]
    assert journal.steps(order.order) == (STEP, STEP)


def test_a_report_that_was_not_delivered_comes_again_with_the_same_seq(tmp_path: Path, order: Order) -> None:
    journal = Journal(tmp_path / "journal.sqlite3")
    journal.receive(order)
    first = journal.next_report()
    journal.close()
    again = Journal(tmp_path / "journal.sqlite3")
    assert again.next_report() == first
    assert first is not None
    assert again.next_seq() == first.seq + 1


def test_a_lost_journal_goes_on_above_every_seq_that_it_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Journal(tmp_path / "before.sqlite3")
    highest = [before.next_seq() for _ in range(100)][-1]
    a_second_later = time.time() + 1
    monkeypatch.setattr(time, "time", lambda: a_second_later)
    assert Journal(tmp_path / "after.sqlite3").next_seq() > highest


def test_an_answer_is_not_put_out_twice_at_a_time(journal: Journal, order: Order) -> None:
    journal.receive(order)
    journal.finish(OrderFinished(order=order.order, outcome="applied"))
    waiting(journal)
    finished = journal.find(order.order)
    assert finished is not None
    assert finished.finished is not None
    assert [journal.answer(finished.finished) for _ in range(5)] == [True, False, False, False, False]
    assert len(waiting(journal)) == 1


def test_a_full_outbox_drops_rejections_and_keeps_what_became_of_orders(
    journal: Journal, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LARGEST_OUTBOX", 5)
    journal.receive(order)
    for _ in range(20):
        journal.refuse(OrderRejected(reason="malformed"), tell=True)
    journal.finish(OrderFinished(order=order.order, outcome="applied"))
    left = waiting(journal)
    assert len(left) == 5
    assert '"received"' in left[0]
    assert '"finished"' in left[-1]
    assert journal.refusals() == {"malformed": 20}


def test_it_forgets_finished_orders_after_30_days_and_no_others(tmp_path: Path) -> None:
    enrolled = EnrolledHost(tmp_path)
    journal = Journal(tmp_path / "journal.sqlite3")
    old, waits, fresh = (enrolled.order("nonce", seq=seq) for seq in (1, 2, 3))
    for order in (old, waits, fresh):
        journal.receive(order)
    for order in (old, fresh):
        journal.step(order.order, STEP)
        journal.finish(OrderFinished(order=order.order, outcome="applied"))
    journal._db.execute("UPDATE orders SET finished_at = finished_at - 31 * 86400 WHERE id = ?", (str(old.order),))
    journal.close()
    again = Journal(tmp_path / "journal.sqlite3")
    assert again.find(old.order) is None
    assert again.steps(old.order) == ()
    assert again.find(waits.order) is not None
    assert again.find(fresh.order) is not None


def test_an_order_of_another_version_of_the_agent_is_finished_as_failed(journal: Journal, order: Order) -> None:
    journal.receive(order)
    journal._db.execute("UPDATE orders SET message = json_set(message, '$.version', 2)")
    waiting(journal)
    assert journal.unfinished() == []
    (finished,) = waiting(journal)
    assert OrderFinished.model_validate_json(finished).outcome == "failed"
    assert journal.unfinished() == []
    assert waiting(journal) == []


# What a host is to the journal: a file that says whether the thing is done, and a line for each time it was done.
DYING_AGENT = """
import os, signal, sys
from pathlib import Path
from functools import partial
from kvmagent.carry_out import Finished
from kvmagent.journal import Journal
from kvmagent.nonces import Nonces
from kvmagent.orders import Orders
from kvmagent.settings import Settings
from virtnet.messages import Step
from virtnet.text import text

directory, at = Path(sys.argv[1]), int(sys.argv[2])
nonces = Nonces()
nonces._published.append((nonces._clock(), "nonce"))
journal = Journal(directory / "state" / "journal.sqlite3")
statements = 0

def count(statement):
    global statements
    statements += 1
    if statements == at:
        os.kill(os.getpid(), signal.SIGKILL)

journal._db.set_trace_callback(count)

def carry_out(action, note, *, found, before, confirmation):
    done = directory / "done"
    found("<network/>")
    if not done.exists():
        done.touch()
        with (directory / "effects").open("a") as effects:
            effects.write("done\\n")
        note(Step(text=text("Did."), outcome="done"))
    else:
        note(Step(text=text("Did."), outcome="already-so"))
    return Finished(outcome="applied")

settings = Settings.model_validate_json((directory / "etc" / "agent.json").read_text())
orders = Orders(
    settings, journal, nonces, carry_out, told=lambda: None, asked=lambda ping: None,
    verdicts=lambda: iter(())
)
orders.recover()
for envelope in (directory / "envelopes").read_text().splitlines():
    orders.receive(envelope)
print(statements)
"""


def test_killed_between_any_two_statements_it_still_does_an_order_once_and_tells_its_end(tmp_path: Path) -> None:
    statements = _live(tmp_path / "whole", at=0)
    assert statements is not None
    assert statements > 10
    step = 1 if os.environ.get("KVMPANEL_SOAK") == "1" else 6
    for at in range(1, statements + 1, step):
        directory = tmp_path / str(at)
        assert _live(directory, at=at) is None
        _live(directory, at=0)
        assert (directory / "effects").read_text() == "done\n"
        database = sqlite3.connect(directory / "state" / "journal.sqlite3")
        assert database.execute("SELECT state FROM orders").fetchall() == [("finished",)]
        told = database.execute("SELECT DISTINCT report FROM outbox WHERE kind = 'finished'").fetchall()
        assert len(told) == 1, f"killed at statement {at}"
        database.close()


def _live(directory: Path, *, at: int) -> int | None:
    """One life of the agent, with one order delivered twice; None when it was killed at statement `at`."""
    if not directory.exists():
        enrolled = EnrolledHost(directory)
        envelope = enrolled.sealed(enrolled.order("nonce"))
        (directory / "envelopes").write_text(f"{envelope}\n{envelope}\n")
    life = subprocess.run(
        [sys.executable, "-c", DYING_AGENT, str(directory), str(at)], cwd=ROOT, capture_output=True, text=True
    )
    if life.returncode == -signal.SIGKILL:
        return None
    assert life.returncode == 0, life.stderr
    return int(life.stdout)
