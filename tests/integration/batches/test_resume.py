"""A submission that was interrupted goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from pipeline.batches import submit_lease
from pipeline.batches.streamed.interrupted import Interrupted, find_interrupted
from pipeline.batches.streamed.resume import SourceItems
from pipeline.batches.submission import Submission, Submitted
from pipeline.batches.submit import submit
from pipeline.batches.submit_lease import discard_abandoned
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.tables import batches, items, leases
from pipeline.definitions import Definition
from pipeline.domain.payload import Rejection
from pipeline.errors import IdempotencyMismatch, InvalidInput, InvalidItems, SourceChanged, SubmissionInProgress
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.number_source import NumberSource
from tests.support.paths import ROOT
from tests.support.servers.fixtures import on_sqlite

TOTAL = 12_000


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url))
    yield context
    context.database.close()


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    return make_definition(tmp_path, input={"text": "text", "key": "id"})


class Log:
    """Keeps the lines of rejected items."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.stored: list[int] = []

    def add(self, rejection: Rejection) -> None:
        self.lines.append(rejection.line)

    def mark(self) -> dict[str, Any]:
        return {"lines": len(self.lines)}

    def resume(self, mark: dict[str, Any] | None, stored: int) -> None:
        del self.lines[0 if mark is None else mark["lines"] :]

    def interrupted(self, stored: int) -> None:
        self.stored.append(stored)


class Interruption(KeyboardInterrupt):
    """As by Ctrl-C."""


def keyed(number: int) -> dict[str, Any]:
    return {"text": f"text number {number}", "id": f"k{number}"}


def fail_at(number: int, error: BaseException | type[BaseException] = Interruption) -> Callable[[int], None]:
    def before(reached: int) -> None:
        if reached == number:
            raise error

    return before


def submission(definition: Definition) -> Submission:
    return Submission(definition, idempotency_key="k")


def numbers(total: int = TOTAL, **given: Any) -> NumberSource:
    return NumberSource(total, **{"payload": keyed} | given)


def interrupt(context: Context, definition: Definition, at: int = 11_000, **given: Any) -> None:
    """Submit up to an item, before which reading ends."""
    with pytest.raises(Interruption):
        submit(context, SourceItems(numbers(before=fail_at(at), **given)), submission(definition))


def go_on(context: Context, definition: Definition, source: NumberSource | None = None, **given: Any) -> Submitted:
    return submit(context, SourceItems(source or numbers()), submission(definition), **given)


def interrupted(context: Context) -> Interrupted | None:
    return find_interrupted(context, "last")


def positions(context: Context) -> list[int]:
    with context.database.read() as connection:
        return list(connection.scalars(select(items.c.position).order_by(items.c.id)))


def count(context: Context) -> tuple[int, int]:
    with context.database.read() as connection:
        return tuple(connection.scalar(select(func.count()).select_from(table)) for table in (batches, items))


def test_a_submission_goes_on_after_its_last_stored_item(context: Context, definition: Definition) -> None:
    interrupt(context, definition)
    found = interrupted(context)
    assert found is not None
    assert found.text == "interrupted at 10,000 items of numbers; the same command again goes on"
    source = numbers()
    submitted = go_on(context, definition, source)
    assert (submitted.total, submitted.resumed_at, submitted.is_new) == (TOTAL, 10_000, True)
    assert source.read_numbers == list(range(10_001, TOTAL + 1))
    assert positions(context) == list(range(1, TOTAL + 1))
    assert interrupted(context) is None
    # The digest covers all items, those of the first process too.
    again = submit(context, [keyed(number) for number in range(1, TOTAL + 1)], submission(definition))
    assert (again.batch_id, again.is_new) == (submitted.batch_id, False)
    with pytest.raises(IdempotencyMismatch, match="has other items"):
        submit(context, [keyed(number) for number in range(2, TOTAL + 2)], submission(definition))


def test_a_submission_may_be_interrupted_again_and_again(context: Context, definition: Definition) -> None:
    for at in (5_001, 9_000, 11_000, 11_999):
        with pytest.raises(Interruption):
            go_on(context, definition, numbers(before=fail_at(at)))
    assert go_on(context, definition).resumed_at == 10_000
    assert positions(context) == list(range(1, TOTAL + 1))


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.bootstrap import make_context
from pipeline.batches.streamed.resume import SourceItems
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.settings import load
from tests.support.factories import make_definition
from tests.support.number_source import NumberSource

def before(number):
    if number == 11_000:
        os.kill(os.getpid(), signal.SIGKILL)

url, folder = sys.argv[1:]
submission = Submission(make_definition(Path(folder)), idempotency_key="k")
submit(make_context(load(database_url=url)), SourceItems(NumberSource(12_000, before=before)), submission)
"""


def test_what_a_killed_submitter_has_stored_is_kept_for_a_day(context: Context, tmp_path: Path) -> None:
    url = context.settings.database_url.get_secret_value()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLED, url, str(tmp_path)], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert count(context) == (1, 10_000)
    found = interrupted(context)
    assert found is not None
    assert (found.stored, found.is_running) == (10_000, False)
    # The sweep leaves it, and from now on does not find its holder dead.
    assert discard_abandoned(context) == 0
    with context.database.read() as connection:
        assert list(connection.scalars(select(leases.c.holder))) == [submit_lease.INTERRUPTED]
    almost = replace(context, now=lambda: found.kept_until - timedelta(minutes=5))
    assert discard_abandoned(almost) == 0
    assert count(context) == (1, 10_000)
    later = replace(context, now=lambda: found.kept_until + timedelta(minutes=5))
    assert discard_abandoned(later) == 1
    assert count(context) == (0, 0)


@on_sqlite
def test_a_submitter_at_work_is_left_alone(context: Context, definition: Definition) -> None:
    def meanwhile(number: int) -> None:
        if number == 6_000:
            found = interrupted(context)
            assert found is not None
            assert found.text == "5,000 items of numbers are stored so far"
            for discard in (False, True):
                with pytest.raises(SubmissionInProgress, match="is being submitted by another process; try again"):
                    go_on(context, definition, discard=discard)

    assert go_on(context, definition, numbers(before=meanwhile)).total == TOTAL


@on_sqlite
def test_a_key_that_was_stored_before_the_interruption_is_taken(context: Context, definition: Definition) -> None:
    def payload(number: int) -> dict[str, Any]:
        return keyed(3 if number == 11_500 else number)

    log = Log()
    source = numbers(payload=payload, before=fail_at(11_000))
    with pytest.raises(Interruption):
        submit(context, SourceItems(source), submission(definition), on_reject=log.add)
    refused: list[Rejection] = []
    submitted = go_on(context, definition, numbers(payload=payload), on_reject=refused.append)
    assert submitted.total == TOTAL - 1
    assert [(each.line, each.reason) for each in refused] == [(11_500, "its key 'k3' is also the key of item 3")]


@on_sqlite
def test_rejected_items_are_counted_once_and_take_up_positions(context: Context, definition: Definition) -> None:
    refused = frozenset({7, 10_004, 10_900, 11_900})
    log = Log()
    given = SourceItems(numbers(refused=refused, before=fail_at(11_000)), log=log)
    with pytest.raises(Interruption):
        submit(context, given, submission(definition), on_reject=log.add)
    # One chunk ends with item 10,001.
    assert (log.lines, log.stored) == ([7, 10_004, 10_900], [10_000])
    log.lines.append(99)
    submitted = submit(
        context, SourceItems(numbers(refused=refused), log=log), submission(definition), on_reject=log.add
    )
    assert log.lines == [7, 10_004, 10_900, 11_900]
    assert submitted.total == TOTAL - 4
    assert positions(context) == [number for number in range(1, TOTAL + 1) if number not in refused]


@on_sqlite
def test_a_submission_that_is_refused_as_a_whole_says_every_reason_again(
    context: Context, definition: Definition
) -> None:
    interrupt(context, definition, refused=frozenset({7}))
    # It would be refused whatever follows, so it does not go on.
    assert interrupted(context) is None
    with pytest.raises(InvalidItems, match="line 7: it is refused"):
        go_on(context, definition, numbers(refused=frozenset({7})))
    assert count(context) == (0, 0)


@on_sqlite
def test_a_changed_source_is_refused_until_what_is_stored_is_discarded(
    context: Context, definition: Definition
) -> None:
    interrupt(context, definition)
    changed = numbers(6_000, content="2")
    with pytest.raises(SourceChanged) as refused:
        go_on(context, definition, changed)
    assert str(refused.value) == (
        "numbers has changed since 10,000 of its items were stored; use another idempotency key, or --discard"
    )
    assert count(context) == (1, 10_000)
    submitted = go_on(context, definition, changed, discard=True)
    assert (submitted.total, submitted.resumed_at) == (6_000, 0)
    assert count(context) == (1, 6_000)


@on_sqlite
def test_another_submission_does_not_go_on_with_it(context: Context, definition: Definition, tmp_path: Path) -> None:
    interrupt(context, definition)
    other = make_definition(tmp_path, input={"text": "text", "key": "id"}, name="other")
    different: list[tuple[Submission, Any, str]] = [
        (submission(other), SourceItems(numbers()), "a different definition"),
        (replace(submission(definition), weight=2), SourceItems(numbers()), "a different weight"),
        (replace(submission(definition), key_field="text"), SourceItems(numbers()), "a different key_field"),
        (submission(definition), SourceItems(numbers(name="others")), "a different source"),
        (submission(definition), make_items(3), "can only go on with these"),
        (submission(definition), SourceItems(numbers(content=None)), "can only go on with these"),
    ]
    for given, read, reason in different:
        with pytest.raises(IdempotencyMismatch, match=reason) as refused:
            submit(context, read, given)
        assert "--discard removes it" in str(refused.value)
    # None of them has taken it over.
    assert go_on(context, definition).resumed_at == 10_000


@on_sqlite
@pytest.mark.parametrize("at", [1, 2, 4_999])
def test_nothing_is_kept_where_nothing_was_stored(context: Context, definition: Definition, at: int) -> None:
    interrupt(context, definition, at)
    assert count(context) == (0, 0)


@on_sqlite
def test_what_cannot_go_on_is_all_or_none(context: Context, definition: Definition) -> None:
    for given in (Submission(definition), replace(submission(definition), idempotency_key="other")):
        content = None if given.idempotency_key else "1"
        with pytest.raises(Interruption):
            submit(context, SourceItems(numbers(before=fail_at(11_000), content=content)), given)
        assert count(context) == (0, 0)


@on_sqlite
def test_what_a_sweep_has_begun_to_remove_does_not_go_on(context: Context, definition: Definition) -> None:
    interrupt(context, definition)
    with context.database.read() as connection:
        batch_id = connection.scalar(select(batches.c.id))
    later = replace(context, now=lambda: context.now() + timedelta(hours=25))
    assert submit_lease.seize(later, batch_id, [], patience=submit_lease.RESUMABLE_FOR)
    # It died before it had removed anything; its lease ends.
    with context.database.write() as connection:
        connection.execute(update(leases).values(until=context.now() - timedelta(seconds=1)))
    submitted = go_on(context, definition)
    assert (submitted.total, submitted.resumed_at) == (TOTAL, 0)
    assert count(context) == (1, TOTAL)


@on_sqlite
def test_damage_in_the_source_keeps_what_was_read_before_it(context: Context, definition: Definition) -> None:
    log = Log()
    damaged = numbers(before=fail_at(11_000, InvalidInput("numbers is damaged")))
    with pytest.raises(InvalidInput, match="numbers is damaged"):
        submit(context, SourceItems(damaged, log=log), submission(definition))
    assert log.stored == [10_000]
    assert go_on(context, definition).resumed_at == 10_000
