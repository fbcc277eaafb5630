"""A result as Python sees it; the same shape as a webhook's `data` and a line of `pipeline results`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item.

    Args:
        batch_id: the batch.
        item_id: the item; stable, and known before it is done.
        key: the caller's own id.
        seq: position in the batch's log: pass it as `after` to go on behind this result.
        state: `succeeded`, `dead` or `cancelled`.
        label: what the classifier said.
        confidence: in [0, 1], or None.
        classification: label, confidence and scores as one object.
        enrichment: the enrichers' answers, by their names.
        error: kind, type, message and stage of the last failure of a dead item.
        attempts: attempts made, of all stages together; those that were throttled are not counted.
        timings: instants in ISO 8601, UTC: created_at, queued_at, started_at, classified_at, finished_at.
    """

    batch_id: str
    item_id: str
    key: str | None
    seq: int
    state: str
    label: str | None
    confidence: float | None
    classification: dict[str, Any] | None
    enrichment: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    timings: dict[str, str | None]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Result:
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"
