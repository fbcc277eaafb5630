"""Items: as submitted, as a stage sees them, and their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ItemState(StrEnum):
    """The state of an item: `pending → queued → running → … → succeeded | dead | cancelled`."""

    #: Waiting in SQL; may be released from `due_at` on.
    PENDING = "pending"
    #: Released to the broker under a lease. If the message is lost, the lease expires.
    QUEUED = "queued"
    #: Claimed by a worker under a lease.
    RUNNING = "running"
    #: All stages succeeded and the result is stored. Final.
    SUCCEEDED = "succeeded"
    #: Given up, with the reason stored. Final, unless a user replays it.
    DEAD = "dead"
    #: Its batch was cancelled before it finished. Final, unless a user replays it.
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """A step that every item passes through, in this order."""

    CLASSIFY = "classify"
    ENRICH = "enrich"


@dataclass(frozen=True, slots=True)
class Item:
    """An item as submitted.

    Args:
        payload: A JSON object.
        key: Your own id for the item, unique within the batch; defaults to the definition's `[input] key` field.
        callback_url: Where this item's events go, in addition to the batch's callback URL.
    """

    payload: Mapping[str, Any] = field(repr=False)
    key: str | None = None
    callback_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An item as a classifier or an enricher sees it.

    Args:
        item_id: The item's id, the same at each attempt.
        batch_id: The batch's id.
        payload: The JSON object as submitted.
        text: The text that the classifier reads, from the payload field that `[input] text` names.
        key: Your own id for the item, if it has one.
        attempt: The number of this attempt at the stage, counted from 1.
        label: The classifier's answer; None in the classify stage.
        confidence: The classifier's confidence; None in the classify stage, or if the classifier has none.
    """

    item_id: str
    batch_id: str
    payload: dict[str, Any] = field(repr=False)
    text: str = field(default="", repr=False)
    key: str | None = None
    attempt: int = 1
    label: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """A classifier's answer.

    Args:
        label: One of the definition's labels, if it lists any.
        confidence: From 0 to 1, or None if the classifier has none.
        scores: The score of each label, or None if the classifier gives none.
    """

    label: str
    confidence: float | None = None
    scores: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Enrichment:
    """The answers of all enrichers: one JSON object per enricher, by name."""

    values: Mapping[str, Any]
