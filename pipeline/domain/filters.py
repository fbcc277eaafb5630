"""Which batches and items a list shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.domain.batch import BatchState
from pipeline.domain.item import ItemState


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which batches are listed; None: any.

    Args:
        tenant: whose they are.
        definition: the name of their definition.
        created_after: the instant after which they were submitted.
        prefix: what their ids begin with.
    """

    tenant: str | None = None
    state: BatchState | None = None
    definition: str | None = None
    created_after: datetime | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items of a batch are listed; None: any."""

    state: ItemState | None = None
    label: str | None = None
    key: str | None = None
