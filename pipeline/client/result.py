"""A result as Python sees it; `to_dict` gives the shape of a callback's `data` and of a line of `pipeline results`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Self

from pipeline.domain.event import format_timestamp
from pipeline.domain.item import Classification, ItemState, Stage
from pipeline.domain.outcome import FailureKind


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """Why an item is dead.

    Args:
        kind: How the failure was to be treated.
        type: The exception's class name, or a code such as `timeout` or `unknown_label`.
        message: What it said.
        stage: Where it happened.
    """

    kind: FailureKind
    type: str
    message: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Timings:
    """When an item passed its stations, in UTC; None: it never did.

    Args:
        created_at: It was submitted.
        queued_at: It was released to the workers, the last time.
        started_at: A worker took it, the last time.
        classified_at: It was classified.
        finished_at: It became final.
    """

    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    classified_at: datetime | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item.

    Args:
        batch_id: The batch.
        item_id: The item; stable, and known before the item is done.
        key: Your own id of the item, if it has one.
        seq: Position in the batch's log; pass it as `after` to continue after this result.
        state: `succeeded`, `dead` or `cancelled`.
        label: What the classifier answered.
        confidence: From 0 to 1, or None.
        classification: Label, confidence and scores together.
        enrichment: The enrichers' answers, by their names; empty if there are none.
        error: The last failure of a dead item.
        attempts: Attempts made at all stages together; attempts that were throttled do not count.
        timings: When the item was created, queued, started, classified and finished.
    """

    batch_id: str
    item_id: str
    key: str | None
    seq: int
    state: ItemState
    label: str | None
    confidence: float | None
    classification: Classification | None
    enrichment: dict[str, Any]
    error: ItemFailure | None
    attempts: int
    timings: Timings

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the result that the `data` of a callback or a line of `pipeline results` states."""
        classification, error = data["classification"], data["error"]
        given = {field.name: data[field.name] for field in fields(cls)} | {
            "state": ItemState(data["state"]),
            "classification": None if classification is None else Classification(**classification),
            "enrichment": data["enrichment"] or {},
            "error": None if error is None else _failure(error),
            "timings": Timings(**{name: _at(text) for name, text in data["timings"].items()}),
        }
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it, with times in ISO 8601; the inverse of `from_data`."""
        found = asdict(self)
        classification, error = found["classification"], found["error"]
        if classification is not None and classification["scores"] is None:
            # A classifier that gives no scores leaves them out.
            del classification["scores"]
        if error is not None:
            found["error"] = {name: str(value) for name, value in error.items()}
        timings = {name: format_timestamp(at) for name, at in found["timings"].items()}
        return found | {"state": self.state.value, "enrichment": self.enrichment or None, "timings": timings}

    @property
    def succeeded(self) -> bool:
        """Whether `state` is `succeeded`."""
        return self.state is ItemState.SUCCEEDED


def _failure(error: Mapping[str, Any]) -> ItemFailure:
    return ItemFailure(
        kind=FailureKind(error["kind"]), type=error["type"], message=error["message"], stage=Stage(error["stage"])
    )


def _at(text: str | None) -> Any:
    return None if text is None else datetime.fromisoformat(text)
