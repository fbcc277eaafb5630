"""List dead items, group them by cause, and replay those that match a filter."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement

from pipeline.batches.replays.completion_hold import completion_hold
from pipeline.batches.replays.replay import CHUNK, refuse_if_guarded, replay_held
from pipeline.batches.sql import attempts, dead
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import batches, definitions, items
from pipeline.domain.cause import Cause, find_cause
from pipeline.domain.ids import item_id
from pipeline.domain.item import ItemState
from pipeline.errors import Conflict, NotFound

#: Dead items that one page of a filtered list looks at.
LOOKED_AT = 10_000
#: Dead items that are grouped by cause, the newest.
GROUPED = 200_000


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """A filter: dead items that match every condition; None: any.

    Args:
        kind: of the failure, such as `permanent`.
        type: of the error, such as `HTTPError`.
        cause: the id of a cause.
        definition: the name of the batch's definition.
        finished_since, finished_before: when they became dead, aware.
        items: ids of items.
    """

    stage: str | None = None
    kind: str | None = None
    type: str | None = None
    cause: str | None = None
    label: str | None = None
    definition: str | None = None
    finished_since: datetime | None = None
    finished_before: datetime | None = None
    items: Collection[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the same as conditions on `items` and `definitions`; `items` is not among them."""
        equal = (
            (self.stage, items.c.error_stage),
            (self.kind, items.c.error_kind),
            (self.type, items.c.error_type),
            (self.label, items.c.label),
            (self.cause, items.c.cause),
            (self.definition, definitions.c.name),
        )
        found = [column == wanted for wanted, column in equal if wanted is not None]
        if self.finished_since is not None:
            found.append(items.c.finished_at >= self.finished_since)
        if self.finished_before is not None:
            found.append(items.c.finished_at < self.finished_before)
        return found

    def matches(self, row: Row) -> bool:
        """Return whether a dead item matches."""
        equal = (
            (self.stage, row["error_stage"]),
            (self.kind, row["error_kind"]),
            (self.type, row["error_type"]),
            (self.label, row["label"]),
            (self.definition, row["definition"]),
        )
        return (
            all(wanted is None or wanted == found for wanted, found in equal)
            and (self.finished_since is None or row["finished_at"] >= self.finished_since)
            and (self.finished_before is None or row["finished_at"] < self.finished_before)
            and (self.items is None or item_id(row["public_id"], row["position"]) in self.items)
            and (self.cause is None or cause_of(row).id == self.cause)
        )


@dataclass(frozen=True, slots=True)
class DeadPage:
    """A page of dead items; it may have fewer than asked for, or none, although the list goes on.

    Args:
        rows: each has the `answer` of another service that its last attempt got, if any.
        position: id of the last item looked at; None: the list ends here.
    """

    rows: list[Row]
    position: int | None


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Dead items of one cause.

    Args:
        definition: the name of their definition; None: they are not grouped by it.
        example: the id of the newest of them.
    """

    cause: Cause
    definition: str | None
    count: int
    first_at: datetime
    last_at: datetime
    example: str


@dataclass(frozen=True, slots=True)
class ReplayCount:
    """How many dead items matched, and how many are pending again."""

    matched: int
    replayed: int


def cause_of(row: Row) -> Cause:
    """Return the cause of a dead item."""
    return find_cause(row["error_stage"], row["error_kind"], row["error_type"], row["error_message"])


def dead_page(
    context: Context,
    wanted: DeadFilter,
    *,
    batch_id: int | None,
    tenant: str | None,
    before: int | None,
    limit: int,
) -> DeadPage:
    """Return a page of dead items, the newest batches' first.

    Args:
        before: only items with ids below: the position of the page before.
        limit: items on a page. At most `LOOKED_AT` are looked at.
    """
    found: list[Row] = []
    looked_at = 0
    while looked_at < LOOKED_AT:
        size = min(max(limit, 500), LOOKED_AT - looked_at)
        with context.database.read() as connection:
            chunk = dead.find_newest(connection, batch_id=batch_id, tenant=tenant, before=before, limit=size)
        for row in chunk:
            if len(found) == limit:
                return DeadPage(_with_answers(context, found), before)
            before = row["id"]
            if wanted.matches(row):
                found.append(row)
        looked_at += len(chunk)
        if len(chunk) < size:
            return DeadPage(_with_answers(context, found), None)
    return DeadPage(_with_answers(context, found), before)


def _with_answers(context: Context, found: list[Row]) -> list[Row]:
    with context.database.read() as connection:
        answers = attempts.find_last_answers(connection, [row["id"] for row in found])
    return [{**row, "answer": answers.get(row["id"])} for row in found]


def causes(
    context: Context,
    wanted: DeadFilter | None = None,
    *,
    batch_id: int | None,
    tenant: str | None,
    by_definition: bool = False,
) -> tuple[list[CauseGroup], bool]:
    """Return the causes of the newest dead items, the most frequent first, and whether there are older items.

    Args:
        wanted: group only items that match; None: all.
        by_definition: keep apart the items of different definitions.
    """
    conditions = [] if wanted is None else wanted.conditions()
    if batch_id is not None:
        conditions.append(items.c.batch_id == batch_id)
    if tenant is not None:
        conditions.append(batches.c.tenant == tenant)
    with context.database.read() as connection:
        found = dead.count_causes(connection, conditions, by_definition=by_definition, look_at=GROUPED + 1)
        examples = dead.find_by_ids(connection, [row["newest"] for row in found])
    groups = [
        CauseGroup(
            cause=cause_of(example := examples[row["newest"]]),
            definition=row["definition"] if by_definition else None,
            count=row["count"],
            first_at=row["first_at"],
            last_at=row["last_at"],
            example=item_id(example["public_id"], example["position"]),
        )
        for row in found
    ]
    return groups, sum(group.count for group in groups) > GROUPED


def replay_matching(
    context: Context,
    batch: Row,
    wanted: DeadFilter,
    *,
    limit: int | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> ReplayCount:
    """Replay the dead items of a batch that match, each at the stage where it failed.

    Args:
        limit: items to replay at most; None: all.
        dry_run: only count.
        force: also if a guard of the batch has fired.

    Raises:
        Conflict: the batch was cancelled, and some of its items are not final yet; or a guard has fired.
        NotFound: the batch was pruned meanwhile.
    """
    matched = replayed = 0
    before: int | None = None
    if not dry_run:
        refuse_if_guarded(context, batch, force=force)
    with completion_hold(context, batch["id"]) as hold:
        while limit is None or matched < limit:
            with context.database.read() as connection:
                chunk = dead.find_newest(
                    connection, batch_id=batch["id"], tenant=None, before=before, limit=CHUNK, cause=wanted.cause
                )
            chosen = [row["position"] for row in chunk if wanted.matches(row)]
            chosen = chosen if limit is None else chosen[: limit - matched]
            matched += len(chosen)
            is_last = len(chunk) < CHUNK
            if chosen and not dry_run:
                replayed += replay_held(context, batch, ItemState.DEAD, hold, positions=chosen, is_last=is_last)
            if is_last:
                break
            before = chunk[-1]["id"]
    return ReplayCount(matched, replayed)


def replay_everywhere(
    context: Context, wanted: DeadFilter, *, dry_run: bool = False, force: bool = False
) -> dict[str, ReplayCount | Conflict]:
    """Replay the dead items of all batches that match, batch by batch, the newest first.

    Args:
        dry_run: only count.
        force: also of batches of which a guard has fired.

    Returns:
        For each batch with such items, by its id, how many; or why it could not be replayed: it is being cancelled, or
        a guard has fired.
    """
    done: dict[str, ReplayCount | Conflict] = {}
    below: int | None = None
    while True:
        with context.database.read() as connection:
            row = dead.find_newest_batch(connection, below)
        if row is None:
            return done
        below = row["id"]
        try:
            count = replay_matching(context, row, wanted, dry_run=dry_run, force=force)
        except Conflict as error:
            done[row["public_id"]] = error
        except NotFound:
            # Pruned in the meantime, with its items.
            continue
        else:
            if count.matched:
                done[row["public_id"]] = count
