"""Whether a run counts: every item stored, right, and called back exactly once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    #: Rows in the database, and those of them that are done with the right label and enrichment.
    stored: int
    right: int
    #: Webhook ids in the order in which the receiver answered.
    ids: Collection[str]


def complaints(items: int, outcome: Outcome) -> list[str]:
    """Return why the run does not count; nothing, if it does."""
    distinct = set(outcome.ids) - {"", "-"}
    found = {
        "items stored": outcome.stored,
        "of them done and right": outcome.right,
        "items called back": len(distinct),
        "requests to the receiver": len(outcome.ids),
    }
    return [f"{number} {what}, not {items}" for what, number in found.items() if number != items]
