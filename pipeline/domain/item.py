"""Items: what a caller submits, what a stage sees, and the states between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ItemState(StrEnum):
    """Where an item is. `pending → queued → running → … → succeeded | dead | cancelled`."""

    #: Waits in SQL; may be released from `due_at` on.
    PENDING = "pending"
    #: Released to the broker under a lease; the message may be lost, the lease ends.
    QUEUED = "queued"
    #: Claimed by a worker under a lease.
    RUNNING = "running"
    #: All stages done; the result is stored. Final.
    SUCCEEDED = "succeeded"
    #: Given up, with its reason; a person may replay it. Final.
    DEAD = "dead"
    #: Its batch was cancelled before it was done. Final.
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """A step that every item passes, in this order."""

    CLASSIFY = "classify"
    ENRICH = "enrich"


@dataclass(frozen=True, slots=True)
class Item:
    """One item as submitted.

    Args:
        payload: a JSON object.
        key: the caller's own id, unique in the batch; default: the definition's `[input] key` field.
        callback_url: where this item's events go, besides the batch's callback URL.
    """

    payload: Mapping[str, Any] = field(repr=False)
    key: str | None = None
    callback_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One item as a classifier or an enricher sees it.

    `id` is the row; `label` and `confidence` are known from the enrich stage on.
    """

    id: int
    item_id: str
    batch_id: str
    key: str | None
    payload: dict[str, Any] = field(repr=False)
    text: str = field(repr=False)
    attempt: int
    label: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """What a classifier answers.

    Args:
        label: one of the definition's labels, where it lists them.
        confidence: in [0, 1], or None where the classifier has none.
        scores: optionally, the score of each label.
    """

    label: str
    confidence: float | None = None
    scores: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What the enrichers answered together: one JSON object per enricher, by its name."""

    values: Mapping[str, Any]
