"""Acceptance: all items or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError

from pipeline.batches import submit_lease
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.batches.submit_lease import discard_abandoned
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.engine import Database
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items, unreleased
from pipeline.domain.ids import new_batch_id
from pipeline.domain.item import Item
from pipeline.domain.payload import Rejection
from pipeline.errors import Conflict, InvalidInput, InvalidItems, Unreachable
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.paths import ROOT
from tests.support.receiver import SECRET
from tests.support.servers.warm_process import run_python

PUBLIC = "https://example.com/hook"


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url, webhook_secret=SECRET))
    yield context
    context.database.close()


def stored(context: Context) -> tuple[int, int]:
    with context.database.read() as connection:
        return tuple(connection.scalar(select(func.count()).select_from(table)) for table in (batches, items))


def test_a_batch_is_stored_whole(context: Context, tmp_path: Path) -> None:
    submitted = submit(context, make_items(12_000), Submission(make_definition(tmp_path)))
    assert (submitted.total, submitted.is_new) == (12_000, True)
    assert stored(context) == (1, 12_000)
    with context.database.read() as connection:
        rows = connection.execute(select(items.c.position, items.c.payload).order_by(items.c.id)).all()
        assert connection.scalar(select(batches.c.state)) == "running"
    assert rows[0] == (1, '{"text":"text number 1"}')
    assert [position for position, _ in rows] == list(range(1, 12_001))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"txet": "x"}, "it has no field 'text', which the classifier reads; did you mean 'txet'?"),
        ({"text": [7]}, "field 'text', which the classifier reads, is a list; expected a string"),
        ({"text": " "}, "its text is empty"),
        ({"text": "x", "n": float("nan")}, "NaN"),
        ({"text": "x\x00"}, "NUL"),
        ({"text": "\ud800"}, "surrogate"),
        ({"text": "x", "at": object()}, "payload.at is object"),
        ({"text": "x" * 300_000}, "262,144"),
        (["text"], "it is a list"),
    ],
)
def test_one_bad_item_refuses_all_and_says_why(context: Context, tmp_path: Path, bad: Any, reason: str) -> None:
    with pytest.raises(InvalidItems) as refused:
        submit(context, [*make_items(6_000), bad, *make_items(3)], Submission(make_definition(tmp_path)))
    assert "line 6001: " in str(refused.value)
    assert reason in str(refused.value)
    assert stored(context) == (0, 0)


def test_good_items_are_accepted_without_the_bad_ones_where_that_is_wanted(context: Context, tmp_path: Path) -> None:
    refused: list[Rejection] = []
    given = [{"text": "a"}, {"no": "text"}, Rejection(7, "not JSON", "{"), {"text": "b"}]
    submitted = submit(context, given, Submission(make_definition(tmp_path)), on_reject=refused.append)
    assert submitted.total == 2
    assert [each.line for each in refused] == [2, 7]
    with context.database.read() as connection:
        assert list(connection.scalars(select(items.c.position).order_by(items.c.id))) == [1, 4]


def test_a_key_may_come_once_in_a_batch_whatever_lies_between(context: Context, tmp_path: Path) -> None:
    definition = make_definition(tmp_path, input={"text": "text", "key": "id"})
    given = [{"text": "t", "id": n} for n in range(7_000)] + [{"text": "t", "id": "3"}]
    with pytest.raises(InvalidItems, match="line 7001: its key '3' is also the key of item 4"):
        submit(context, given, Submission(definition))
    submit(context, given[:-1], Submission(definition))
    submit(context, given[:-1], Submission(definition))
    assert stored(context) == (2, 14_000)


def test_an_input_without_items_is_refused(context: Context, tmp_path: Path) -> None:
    with pytest.raises(InvalidItems, match="there are no items to accept"):
        submit(context, iter([]), Submission(make_definition(tmp_path)))
    assert stored(context) == (0, 0)


def test_an_input_that_breaks_off_leaves_nothing(context: Context, tmp_path: Path) -> None:
    def breaking() -> Iterator[dict[str, Any]]:
        yield from make_items(6_000)
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        submit(context, breaking(), Submission(make_definition(tmp_path)))
    assert stored(context) == (0, 0)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://user:hunter2@example.com/", "ftp://example.com/", "x"])
def test_a_callback_url_that_may_not_be_called_is_refused(context: Context, tmp_path: Path, url: str) -> None:
    definition = make_definition(tmp_path)
    with pytest.raises(InvalidInput) as refused:
        submit(context, make_items(1), Submission(definition, callback_url=url))
    assert "hunter2" not in str(refused.value)
    with pytest.raises(InvalidItems):
        submit(context, [Item({"text": "t"}, callback_url=url)], Submission(definition))


def test_callbacks_need_a_secret_to_be_signed_with(database_url: str, tmp_path: Path) -> None:
    context = make_context(load(database_url=database_url))
    with pytest.raises(InvalidInput, match="pipeline secret"):
        submit(context, make_items(1), Submission(make_definition(tmp_path), callback_url=PUBLIC))
    with pytest.raises(InvalidItems, match="PIPELINE_WEBHOOK_SECRET"):
        submit(context, [Item({"text": "t"}, callback_url=PUBLIC)], Submission(make_definition(tmp_path)))
    context.database.close()


def test_only_a_key_that_is_taken_is_said_to_be_taken(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = make_definition(tmp_path)
    # The same random number twice.
    monkeypatch.setattr("pipeline.batches.submit.new_batch_id", lambda: "0123456789abcdef")
    submit(context, make_items(1), Submission(definition))
    for key in (None, "k"):
        with pytest.raises(IntegrityError, match="public_id"):
            submit(context, make_items(1), Submission(definition, idempotency_key=key))


def test_a_key_that_is_taken_just_now_is_a_conflict(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = Submission(make_definition(tmp_path), idempotency_key="k")

    def late() -> str:
        monkeypatch.undo()
        submit(context, make_items(1), submission)
        return new_batch_id()

    # After the look for the key.
    monkeypatch.setattr("pipeline.batches.submit.new_batch_id", late)
    with pytest.raises(Conflict, match="'k' was just used by another process"):
        submit(context, make_items(1), submission)
    assert stored(context) == (1, 1)


class Breaking:
    """A database that becomes unreachable at each of these transactions: before it begins, or after its commit."""

    def __init__(self, database: Database, breaks: dict[int, str]) -> None:
        self._database = database
        self._breaks = breaks
        self.transactions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.transactions += 1
        when = self._breaks.get(self.transactions)
        if when == "before":
            raise Unreachable("the database does not answer")
        with self._database.write() as connection:
            yield connection
        if when == "after":
            raise Unreachable("the database does not answer")


def on(context: Context, breaks: dict[int, str] | None = None) -> tuple[Context, Breaking]:
    database: Any = Breaking(context.database, breaks or {})
    return replace(context, database=database), database


def test_what_fits_into_one_chunk_is_stored_in_one_transaction(context: Context, tmp_path: Path) -> None:
    watched, database = on(context)
    definition = make_definition(tmp_path, input={"text": "text", "key": "id"})
    given = ({"text": "t", "id": number} for number in range(20))
    submit(watched, given, Submission(definition, idempotency_key="k"))
    assert (database.transactions, stored(context)) == (1, (1, 20))
    with context.database.read() as connection:
        row = connection.execute(select(batches.c.id, batches.c.state, batches.c.last_position)).one()
        ids = list(connection.scalars(select(items.c.id).order_by(items.c.id)))
        assert connection.scalar(select(unreleased.c.first)) == 1
        assert not leases.find_by_prefix(connection, submit_lease.PREFIX)
    assert row[1:] == ("running", 20)
    assert ids == [row.id * POSITIONS_PER_BATCH + position for position in range(1, 21)]


def test_a_commit_whose_answer_was_lost_stores_a_batch_once(context: Context, tmp_path: Path) -> None:
    watched, database = on(context, {1: "after", 2: "before"})
    submitted = submit(watched, make_items(20), Submission(make_definition(tmp_path), idempotency_key="k"))
    assert (submitted.total, database.transactions, stored(context)) == (20, 3, (1, 20))


def test_a_database_that_is_away_at_the_start_is_reported_at_once(context: Context, tmp_path: Path) -> None:
    watched, database = on(context, {1: "before"})
    with pytest.raises(Unreachable, match="does not answer$"):
        submit(watched, make_items(20), Submission(make_definition(tmp_path)))
    assert (database.transactions, stored(context)) == (1, (0, 0))


@pytest.mark.parametrize("number", [20, 6_000])
def test_a_progress_callback_that_fails_leaves_nothing(context: Context, tmp_path: Path, number: int) -> None:
    with pytest.raises(ZeroDivisionError):
        submit(
            context,
            make_items(number),
            Submission(make_definition(tmp_path)),
            on_progress=lambda stored: 1 // (stored - stored),
        )
    assert stored(context) == (0, 0)


ITEMS = [{"text": "a", "n": 1}, {"text": "b", "n": 2}, {"text": "c", "n": 3}]


def test_the_same_submission_again_is_the_same_batch(context: Context, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path), idempotency_key="k")
    first = submit(context, ITEMS, submission)
    again = submit(context, ({"n": each["n"], "text": each["text"]} for each in ITEMS), submission)
    assert again == replace(first, is_new=False)
    assert stored(context) == (1, 3)


@pytest.mark.parametrize(
    "given",
    [
        ITEMS[:2],
        [*ITEMS, ITEMS[0]],
        list(reversed(ITEMS)),
        [*ITEMS[:2], {**ITEMS[2], "n": 3.5}],
        [*ITEMS[:2], Item(ITEMS[2], key="x")],
        [*ITEMS[:2], Item(ITEMS[2], callback_url=PUBLIC)],
        [],
    ],
)
def test_other_items_under_a_known_idempotency_key_are_a_conflict(
    context: Context, tmp_path: Path, given: list[Any]
) -> None:
    submission = Submission(make_definition(tmp_path), idempotency_key="k")
    submitted = submit(context, ITEMS, submission)
    with pytest.raises(Conflict, match=f"'k' belongs to batch {submitted.batch_id}, which has other items"):
        submit(context, iter(given), submission)
    assert stored(context) == (1, 3)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("callback_url", PUBLIC),
        ("batch_callback_url", PUBLIC),
        ("callback_schedule", "short"),
        ("fair_key", "tenant"),
        ("weight", 2),
    ],
)
def test_another_option_under_a_known_idempotency_key_is_a_conflict(
    context: Context, tmp_path: Path, option: str, value: Any
) -> None:
    submission = Submission(make_definition(tmp_path), idempotency_key="k")
    submit(context, ITEMS, submission)
    with pytest.raises(Conflict, match=f"has a different {option};"):
        # An option is compared before the items are read.
        submit(context, (1 / 0 for _ in range(1)), replace(submission, **{option: value}))


def test_a_repeated_submission_refuses_the_same_items(context: Context, tmp_path: Path) -> None:
    definition = make_definition(tmp_path, input={"text": "text", "key": "id"})
    submission = Submission(definition, idempotency_key="k")
    given = [{"text": "a", "id": "1"}, {"text": "b", "id": "1"}, {"id": "2"}, Rejection(4, "not JSON", "{")]
    refusals = []
    for is_new in (True, False):
        refused: list[Rejection] = []
        assert submit(context, iter(given), submission, on_reject=refused.append).is_new == is_new
        refusals.append(sorted(refused, key=lambda each: each.line))
    assert refusals[0] == refusals[1]
    assert [each.line for each in refusals[0]] == [2, 3, 4]
    with pytest.raises(InvalidItems):
        submit(context, iter(given), submission)


def test_a_batch_of_before_digests_is_not_compared(context: Context, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path), idempotency_key="k")
    first = submit(context, ITEMS, submission)
    with context.database.write() as connection:
        connection.execute(batches.update().values(items_digest=None))
    assert submit(context, ITEMS[:1], submission).batch_id == first.batch_id


@pytest.mark.parametrize("key", ["", "x" * 256, "half \ud800", "nul \x00", 5, b"k"])
def test_an_idempotency_key_out_of_bounds_is_refused(context: Context, tmp_path: Path, key: Any) -> None:
    with pytest.raises(InvalidInput, match="^idempotency_key "):
        submit(context, ITEMS, Submission(make_definition(tmp_path), idempotency_key=key))
    assert stored(context) == (0, 0)


DYING = """
import os, sys
from pathlib import Path
from pipeline.bootstrap import make_context
from pipeline.batches import submit_lease
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.settings import load
from tests.support.factories import make_definition, make_items

def dying():
    yield from make_items(5_001)
    os._exit(66)

url, folder = sys.argv[1:]
submit(make_context(load(database_url=url)), dying(), Submission(make_definition(Path(folder)), idempotency_key="k"))
"""


def abandon(context: Context, tmp_path: Path) -> None:
    """Leave a batch half submitted by a process that is gone."""
    url = context.settings.database_url.get_secret_value()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = run_python(["-c", DYING, url, tmp_path], env=environment)
    assert process.returncode == 66
    assert stored(context) == (1, 5_000)


def test_what_a_dead_submitter_left_is_removed_and_its_key_is_free(context: Context, tmp_path: Path) -> None:
    abandon(context, tmp_path)
    submitted = submit(context, make_items(3), Submission(make_definition(tmp_path), idempotency_key="k"))
    assert submitted.is_new
    assert stored(context) == (1, 3)


def test_what_a_living_submitter_writes_is_left_alone(context: Context, tmp_path: Path) -> None:
    abandon(context, tmp_path)
    with context.database.write() as connection:
        connection.execute(leases.leases.update().values(holder="1.alive@elsewhere"))
    assert discard_abandoned(context) == 0
    with pytest.raises(Conflict, match="is being submitted by another"):
        submit(context, make_items(3), Submission(make_definition(tmp_path), idempotency_key="k"))
    assert stored(context) == (1, 5_000)


def test_a_submission_that_was_given_up_meanwhile_is_not_accepted_by_halves(context: Context, tmp_path: Path) -> None:
    def overtaken() -> Iterator[dict[str, Any]]:
        yield from make_items(5_000)
        # As after a long suspension of this process: the lease is over, and a sweep finds it.
        with context.database.write() as connection:
            connection.execute(leases.leases.update().values(until=context.now() - timedelta(seconds=1)))
        assert discard_abandoned(context) == 1
        yield from make_items(5_000)

    with pytest.raises(Conflict, match="nothing was accepted"):
        submit(context, overtaken(), Submission(make_definition(tmp_path)))
    assert stored(context) == (0, 0)
