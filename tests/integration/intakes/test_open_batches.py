"""Open batches: released as they grow, never complete before they are sealed, sealed once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.batches import control
from pipeline.batches.progress import progress
from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.database.tables import POSITIONS_PER_BATCH, unreleased
from pipeline.domain.urls.export_target import parse_export_target
from pipeline.execution.fresh_items import FreshItems
from pipeline.execution.sql.pending_batches import find_pending
from pipeline.intakes.accept import accept
from pipeline.intakes.roll import roll_due, seal
from pipeline.intakes.rules.messages import Chunk, IntakeMessage, OffsetRange
from tests.support.clock import Clock
from tests.support.exporting import export_of, finish_items, problems_of, work
from tests.support.intaking import by_offsets, completions, make_intake, offset, stored_batches


def release(context: Context) -> list[int]:
    """Release all that a round of dispatch finds. Return the positions."""
    with context.database.write() as connection:
        fresh = FreshItems(connection)
        taken = [item for batch in find_pending(connection, context.now()) for item in fresh.take(batch, 1_000)]
        assert fresh.release(context.now(), context.now() + context.lease, None) == []
    return [item.id % POSITIONS_PER_BATCH for item in taken]


def test_what_is_added_is_released_though_all_was_released(context: Context, submission: Submission) -> None:
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 4))
    assert release(context) == [1, 2, 3]
    # It waits for more, and asks for no turn.
    with context.database.read() as connection:
        assert find_pending(connection, context.now()) == []
    accept(context, intake, submission, by_offsets(4, 6))
    assert release(context) == [4, 5]


def test_items_added_while_a_round_of_dispatch_reads_are_not_forgotten(
    context: Context, submission: Submission
) -> None:
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 4))
    with context.database.read() as connection:
        (seen,) = find_pending(connection, context.now())
    accept(context, intake, submission, by_offsets(4, 6))
    with context.database.write() as connection:
        fresh = FreshItems(connection)
        assert len(fresh.take(seen, 1_000)) == 3
        fresh.release(context.now(), context.now() + context.lease, None)
    assert release(context) == [4, 5]


def test_it_completes_once_it_is_sealed(context: Context, submission: Submission) -> None:
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 4))
    batch_id = stored_batches(context)[0]["id"]
    release(context)
    finish_items(context, batch_id, [1, 2, 3])
    (batch,) = stored_batches(context)
    assert (batch["state"], batch["completed_at"], completions(context)) == ("open", None, 0)
    assert not progress(context, batch["public_id"]).is_complete
    # Two at once: one seals it, and there is one event.
    assert seal(context, intake, batch_id)
    assert not seal(context, intake, batch_id)
    (batch,) = stored_batches(context)
    assert (batch["state"], completions(context)) == ("completed", 1)
    with context.database.read() as connection:
        assert connection.execute(unreleased.select()).all() == []


def test_it_completes_with_its_last_item_after_it_was_sealed(context: Context, submission: Submission) -> None:
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 4))
    batch_id = stored_batches(context)[0]["id"]
    seal(context, intake, batch_id)
    assert release(context) == [1, 2, 3]
    finish_items(context, batch_id, [1, 2, 3])
    assert (stored_batches(context)[0]["state"], completions(context)) == ("completed", 1)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({"roll_items": 3}, 0), ({"roll_seconds": 50, "roll_idle": 900}, 50), ({"roll_idle": 20}, 20)],
)
def test_it_is_sealed_when_it_is_full_old_or_idle(
    context: Context, submission: Submission, clock: Clock, options: dict[str, float], seconds: float
) -> None:
    intake = make_intake(context, submission, **options)
    accept(context, intake, submission, by_offsets(1, 4))
    if seconds:
        clock.forward(seconds - 1)
        assert roll_due(context) == 0
        clock.forward(1)
    assert roll_due(context) == 1
    assert roll_due(context) == 0
    accept(context, intake, submission, by_offsets(4, 5))
    assert [(batch["state"], batch["total"]) for batch in stored_batches(context)] == [("running", 3), ("open", 1)]


@pytest.mark.parametrize("change", [control.pause, control.cancel])
def test_what_stops_an_open_batch_lets_the_next_message_open_another(
    context: Context, submission: Submission, change: object
) -> None:
    assert callable(change)
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 4))
    change(context, stored_batches(context)[0]["public_id"])
    accept(context, intake, submission, by_offsets(4, 6))
    first, second = stored_batches(context)
    assert first["state"] in ("paused", "cancelled")
    assert (first["total"], second["state"], second["total"]) == (3, "open", 2)
    if first["state"] == "cancelled":
        assert first["completed_at"] is not None
        return
    control.resume(context, first["public_id"])
    assert release(context) == [1, 2, 3, 1, 2]


def test_pausing_one_whose_items_are_all_final_completes_it(context: Context, submission: Submission) -> None:
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 3))
    (batch,) = stored_batches(context)
    finish_items(context, batch["id"], [1, 2])
    control.pause(context, batch["public_id"])
    assert (stored_batches(context)[0]["state"], completions(context)) == ("completed", 1)


def test_it_is_measured_against_what_may_wait(context: Context, submission: Submission) -> None:
    from pipeline.intakes.sql.intakes import count_pending

    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 5))
    seal(context, intake, stored_batches(context)[0]["id"])
    accept(context, intake, submission, by_offsets(5, 7))
    finish_items(context, stored_batches(context)[0]["id"], [1])
    with context.database.read() as connection:
        assert count_pending(connection, intake) == 5


def test_each_batch_of_an_intake_is_exported_also_while_it_is_open(
    context: Context, submission: Submission, tmp_path: Path
) -> None:
    target = str(parse_export_target(f"{tmp_path}/out/?rows=2"))
    submission = replace(submission, exports=(target,))
    intake = make_intake(context, submission)
    accept(context, intake, submission, by_offsets(1, 4))
    first = stored_batches(context)[0]["id"]
    finish_items(context, first, [1, 2])
    # A rejection is an event of the batch, and none of its results.
    poison = Chunk([IntakeMessage(b"no", "0", offset(4))], (OffsetRange("0", offset(4), offset(5)),))
    accept(context, intake, submission, poison)
    work(context)
    assert (export_of(context, first)["state"], export_of(context, first)["parts"]) == ("running", 1)
    finish_items(context, first, [3])
    seal(context, intake, first)
    accept(context, intake, submission, by_offsets(5, 6))
    second = stored_batches(context)[1]["id"]
    finish_items(context, second, [1])
    seal(context, intake, second)
    work(context)
    assert [export_of(context, each)["rows"] for each in (first, second)] == [3, 1]
    assert [export_of(context, each)["state"] for each in (first, second)] == ["complete", "complete"]
    assert [problems_of(context, each) for each in (first, second)] == [[], []]
