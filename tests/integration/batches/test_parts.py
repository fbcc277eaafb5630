"""Batches that are uploaded in parts: ranges of positions with gaps between them, and writers that die."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from pipeline.batches import parts, progress, results, submit_lease
from pipeline.batches.find import find_batch
from pipeline.batches.idempotency import BodyDigest
from pipeline.batches.part_errors import ItemsMismatch, NotAccepting, PartDiffers, PartInProgress, PartsMissing
from pipeline.batches.parts import MAX_PART_ITEMS, put_part, seal
from pipeline.batches.replays.dead_items import DeadFilter, dead_page
from pipeline.batches.replays.replay import replay_dead
from pipeline.batches.submission import Submission
from pipeline.batches.submit_lease import discard_abandoned
from pipeline.bootstrap import make_context
from pipeline.client.connect import connect
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH, batch_parts, batches, items, leases, spans, unreleased
from pipeline.errors import InvalidInput, NoItems
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.liveness import count_waiting
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.retention.prune import prune
from pipeline.settings import load
from tests.support.factories import client_context, make_definition, make_items
from tests.support.invariants import assert_complete

FAILING = """
def classify(item):
    if item.text.endswith(" 2"):
        raise ValueError("no")
    return "a"

def enrich(item):
    return {}
"""


class Body:
    """A body of a request that has these bytes."""

    def __init__(self, content: bytes = b"") -> None:
        self.size, self._digest = len(content), hashlib.sha256(content).hexdigest()

    def finish(self) -> BodyDigest:
        return BodyDigest(self._digest, {})

    def digest_of_repetition(self) -> BodyDigest:
        return self.finish()


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url))
    yield context
    context.database.close()


def opened(context: Context, tmp_path: Path, **tables: Any) -> Row:
    """The row of a batch that takes parts."""
    submission = Submission(make_definition(tmp_path, **tables))
    submitted = parts.open_upload(context, submission, Body(b"{}"))
    return row_of(context, submitted.batch_id)


def row_of(context: Context, batch_id: str) -> Row:
    with context.database.read() as connection:
        return find_batch(connection, batch_id)


def put(context: Context, batch: Row, number: int, given: Iterable[Any], content: bytes = b"", **options: Any) -> Any:
    submission = parts.submission_of(context, batch)
    return put_part(context, batch, number, given, submission, Body(content or b"%d" % number), **options)


def stored(context: Context) -> tuple[int, ...]:
    """The numbers of batches, items, parts and leases."""
    with context.database.read() as connection:
        counted = (batches, items, batch_parts, leases)
        return tuple(connection.scalar(select(func.count()).select_from(each)) or 0 for each in counted)


def positions(context: Context) -> list[int]:
    with context.database.read() as connection:
        return list(connection.scalars(select(items.c.position).order_by(items.c.id)))


def test_parts_own_ranges_and_are_dispatched_with_gaps(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)
    sent: list[TaskMessage] = []
    dispatcher = Dispatcher(context, sent.extend)
    for number in (3, 1, 2):
        assert put(context, batch, number, make_items(3))[1]
        assert dispatcher.dispatch().released == 0
    assert seal(context, batch, 3, 9)
    expected = [base + n for base in (0, MAX_PART_ITEMS, 2 * MAX_PART_ITEMS) for n in (1, 2, 3)]
    assert positions(context) == expected
    with context.database.read() as connection:
        row = connection.execute(select(batches)).mappings().one()
    assert (row["state"], row["total"], row["last_position"]) == ("running", 9, expected[-1])
    assert count_waiting(context, batch["public_id"], limit=100)["control"] == 9
    assert dispatcher.dispatch().released == 9
    assert [message.id % POSITIONS_PER_BATCH for message in sent] == expected
    assert sent[-1].item_id == f"{batch['public_id']}-{expected[-1]}"
    shown = progress.progress(context, batch["public_id"])
    assert (shown.total, shown.in_flight, shown.waiting) == (9, 9, 0)
    with context.database.write() as connection:
        refs = [Ref(message.id, message.epoch) for message in sent]
        now = context.now()
        until = now + timedelta(minutes=1)
        claimed = releases.claim(connection, "classify", refs, now=now, lease_until=until, worker="w")
    assert [each["position"] for each in claimed] == expected
    assert dispatcher.dispatch().released == 0
    with context.database.read() as connection:
        assert connection.execute(select(unreleased)).all() == connection.execute(select(spans)).all() == []


def test_a_batch_with_gaps_completes_is_replayed_and_pruned(tmp_path: Path) -> None:
    with connect(database_url=f"sqlite:///{tmp_path / 'gaps.db'}") as client:
        context = client_context(client)
        batch = opened(context, tmp_path, source=FAILING, retry={"max_attempts": 1})
        put(context, batch, 1, make_items(3))
        put(context, batch, 2, [*make_items(2_100)])
        seal(context, batch, 2)
        handle = client.batch(batch["public_id"])
        assert handle.wait(timeout=60).total == 2_103
        found = [int(each.item_id.rpartition("-")[2]) for each in handle.results()]
        assert sorted(found) == [1, 2, 3, *range(MAX_PART_ITEMS + 1, MAX_PART_ITEMS + 2_101)]
        assert assert_complete(context.database, batch["public_id"], 2_103) == {"succeeded": 2_101, "dead": 2}
        dead = dead_page(context, DeadFilter(), batch_id=None, tenant=None, before=None, limit=9)
        assert [row["position"] for row in dead.rows] == [MAX_PART_ITEMS + 2, 2]
        assert replay_dead(context, batch["public_id"]) == 2
        assert handle.wait(timeout=60).dead == 2
        page = results.page(context, batch["id"], 2_103, 100)
        again = [int(each["item_id"].rpartition("-")[2]) for each in page.results]
        assert again == [2, MAX_PART_ITEMS + 2]
        transactions = Transactions(context)
        old = context.now() + timedelta(days=1)
        assert prune(transactions.context, old).items == 2_103
        # Not one for each two thousand positions of the gap.
        assert transactions.count < 20
        assert stored(context)[:3] == (0, 0, 0)


class Transactions:
    """Counts the writing transactions of a context."""

    def __init__(self, context: Context) -> None:
        self.count = 0
        self.context = replace(context, hooks=context.hooks)
        write = context.database.write

        def counted() -> Any:
            self.count += 1
            return write()

        database = context.database
        self.context = replace(context, database=_Forwarding(database, counted))  # type: ignore[arg-type]


class _Forwarding:
    def __init__(self, database: Any, write: Any) -> None:
        self._database, self.write = database, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def test_a_part_is_stored_once(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)
    first, is_new = put(context, batch, 2, make_items(2), b"two")
    again, is_new_again = put(context, batch, 2, iter([]), b"two")
    assert (is_new, is_new_again, first) == (True, False, again)
    assert (first.number, first.items, first.bytes) == (2, 2, 3)
    with pytest.raises(PartDiffers, match="another body"):
        put(context, batch, 2, make_items(3), b"other")
    replaced, _ = put(context, batch, 2, make_items(3), b"other", replace=True)
    assert replaced.items == 3
    assert parts.list_parts(context, batch["id"]) == [replaced]
    assert stored(context) == (1, 3, 1, 1)


def test_a_part_that_is_refused_leaves_nothing(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path, input={"text": "text", "key": "id"})
    keyed = [{"text": "a", "id": n} for n in range(3)]
    put(context, batch, 1, keyed)
    before = stored(context)
    # Its first chunk is written before the second turns out to have a key of part 1.
    later = [{"text": "b", "id": f"x{n}"} for n in range(5_000)] + keyed[1:2]
    with pytest.raises(InvalidInput, match="line 5001: its key '1' is also the key of item 2"):
        put(context, batch, 2, later)

    def cut() -> Iterator[dict[str, Any]]:
        yield from later[:-1]
        raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        put(context, batch, 2, cut())
    with pytest.raises(NoItems):
        put(context, batch, 2, [])
    assert stored(context) == before


def test_parts_are_written_in_parallel_and_share_no_key(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path, input={"text": "text", "key": "id"})
    start = threading.Barrier(4)

    def write(number: int) -> int:
        given = [{"text": "a", "id": f"{number}-{n}"} for n in range(50)] + [{"text": "a", "id": "same"}]
        start.wait(60)
        return put(context, batch, number, given, on_reject=lambda _: None)[0].items  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(write, (1, 2, 3, 4)))
    assert sorted(written) == [50, 50, 50, 51]
    assert seal(context, batch, 4, 201)


def test_sealing_wants_every_part_and_happens_once(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)
    with pytest.raises(NoItems):
        seal(context, batch, 1)
    put(context, batch, 1, make_items(2))
    put(context, batch, 3, make_items(2))
    with pytest.raises(PartsMissing) as missing:
        seal(context, batch, 500)
    assert missing.value.missing == (2, *range(4, 103))
    with pytest.raises(ItemsMismatch, match="up to number 3, not 1"):
        seal(context, batch, 1)
    put(context, batch, 2, make_items(1))
    with pytest.raises(ItemsMismatch, match="5 items, not 6"):
        seal(context, batch, 3, 6)
    assert seal(context, batch, 3, 5)
    assert not seal(context, batch, 3, 5)
    sealed = row_of(context, batch["public_id"])
    for late in (batch, sealed):
        with pytest.raises(NotAccepting):
            put(context, late, 4, make_items(1))
        with pytest.raises(NotAccepting):
            parts.give_up(context, late)
    assert stored(context) == (1, 5, 3, 0)


def test_a_batch_is_not_sealed_around_a_part_that_is_being_written(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)
    put(context, batch, 1, make_items(2))

    def overtaken() -> Iterator[dict[str, Any]]:
        yield from make_items(5_001)
        with pytest.raises(PartInProgress):
            seal(context, batch, 1)
        with pytest.raises(PartInProgress):
            put(context, batch, 2, make_items(1))

    put(context, batch, 2, overtaken())
    assert seal(context, batch, 2)


def test_what_a_dead_writer_left_of_a_part_goes(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)
    put(context, batch, 1, make_items(2))
    # As a process that was killed leaves it: items, and a lease that is over.
    _abandon(context, batch, 2)
    assert stored(context) == (1, 5, 1, 2)
    put(context, batch, 2, make_items(1))
    _abandon(context, batch, 3)
    assert seal(context, batch, 2)
    assert positions(context) == [1, 2, MAX_PART_ITEMS + 1]
    assert stored(context)[3] == 0


def _abandon(context: Context, batch: Row, number: int) -> None:

    lease = submit_lease.of_part(batch["id"], number)
    with context.database.write() as connection:
        submit_lease.take(context, connection, lease)
        connection.execute(update(leases).where(leases.c.name == lease.name).values(until=context.now()))
        low = batch["id"] * POSITIONS_PER_BATCH + (number - 1) * MAX_PART_ITEMS
        row = {"batch_id": batch["id"], "payload": "{}", "stage": "classify", "state": "pending"}
        rows = [row | {"id": low + n, "position": low + n, "created_at": context.now()} for n in (1, 2, 3)]
        connection.execute(items.insert(), rows)


def test_a_batch_without_further_parts_is_given_up(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)
    put(context, batch, 1, make_items(2))
    until = parts.expires_at(context, batch["id"])
    assert until is not None
    assert timedelta(hours=23) < until - context.now() < timedelta(hours=25)
    assert discard_abandoned(context) == 0
    later = replace(context, now=lambda: until + timedelta(seconds=1))
    assert discard_abandoned(later) == 1
    assert stored(context) == (0, 0, 0, 0)


def test_giving_up_stops_a_part_that_is_being_written(context: Context, tmp_path: Path) -> None:
    batch = opened(context, tmp_path)

    def given_up() -> Iterator[dict[str, Any]]:
        yield from make_items(5_001)
        parts.give_up(context, batch)
        yield from make_items(5_001)

    with pytest.raises(NotAccepting):
        put(context, batch, 1, given_up())
    assert stored(context) == (0, 0, 0, 0)
