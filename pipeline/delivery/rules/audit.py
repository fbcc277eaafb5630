"""What must hold of a batch if nothing was lost and nothing counted twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.domain.item import ItemState

#: Examples that a violation names.
EXAMPLES = 10
_COUNTED = (ItemState.SUCCEEDED, ItemState.DEAD, ItemState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that does not hold.

    Args:
        code: what, for programs.
        message: the same for people, with the numbers.
        examples: positions of items, or the `seq` of events, as the message says: the first of them.
    """

    code: str
    message: str
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """The rows of a batch, as one snapshot has them.

    Args:
        is_accepted: whether every item has been submitted.
        is_complete: whether the batch says that every item is final.
        total: the number of items that the batch says it has.
        counters: the numbers of final items that the batch says it has.
        items: the numbers of items in each state.
        events: the number of events in its log.
        first: the `seq` of the first event, 0 if there is none.
        last: the `seq` of the last event.
        next_seq: the `seq` that the batch gives to its next event.
        completed: the `seq` of the last `batch.completed`; None: there is none.
        unreported: positions of final items whose last event does not say so.
        superseded: positions of items with an event after their success.
        unowed: the `seq` of events with fewer deliveries than callback URLs.
    """

    is_accepted: bool
    is_complete: bool
    total: int
    counters: Mapping[ItemState, int]
    items: Mapping[ItemState, int]
    events: int
    first: int
    last: int
    next_seq: int
    completed: int | None
    unreported: Sequence[int]
    superseded: Sequence[int]
    unowed: Sequence[int]


def find_violations(found: Evidence) -> list[Violation]:
    """Return what does not hold: an empty list proves that nothing was lost and nothing counted twice."""
    return [*_of_items(found), *_of_log(found), *_of_completion(found), *_of_callbacks(found)]


def _of_items(found: Evidence) -> Iterator[Violation]:
    number = sum(found.items.values())
    if found.is_accepted and number != found.total:
        yield Violation("items_missing", f"{found.total:,} items were submitted, {number:,} are stored")
    for state in _COUNTED:
        stored, counted = found.items.get(state, 0), found.counters[state]
        if stored != counted:
            message = f"{stored:,} items are {state}, the batch counts {counted:,}; a worker recounts it within minutes"
            yield Violation("counter_wrong", message)
    if found.unreported:
        yield _listed("end_unreported", found.unreported, "final items lack the event that says so, at positions")
    if found.superseded:
        yield _listed("ended_again", found.superseded, "items have an event after their success, at positions")


def _of_log(found: Evidence) -> Iterator[Violation]:
    if found.events and (found.first != 1 or found.last != found.events):
        message = f"the log has gaps: {found.events:,} events, numbered {found.first:,} to {found.last:,}"
        yield Violation("log_has_gaps", message)
    if found.next_seq != found.last + 1:
        message = f"the next event will be {found.next_seq:,}, and the last one is {found.last:,}"
        yield Violation("log_cut_off", message)


def _of_completion(found: Evidence) -> Iterator[Violation]:
    if found.is_complete and found.completed is None:
        yield Violation("completion_unreported", "the batch is complete, and its log has no batch.completed")
    unfinished = found.total - sum(found.items.get(state, 0) for state in _COUNTED)
    if found.is_complete and unfinished:
        yield Violation("completed_early", f"the batch is complete, and {unfinished:,} of its items are not final")


def _of_callbacks(found: Evidence) -> Iterator[Violation]:
    if found.unowed:
        yield _listed("callback_missing", found.unowed, "events lack a delivery to a callback URL, with seq")


def _listed(code: str, numbers: Sequence[int], what: str) -> Violation:
    first = tuple(numbers[:EXAMPLES])
    rest = ", …" if len(numbers) > EXAMPLES else ""
    return Violation(code, f"{len(numbers):,} {what} {', '.join(f'{each:,}' for each in first)}{rest}", first)
