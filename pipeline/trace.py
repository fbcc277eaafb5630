"""For classifiers and enrichers: take part in the trace of an item."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pipeline.domain.item import WorkItem
from pipeline.telemetry import current_span


def current(item: WorkItem) -> AbstractContextManager[None]:
    """Return a block in which the attempt at an item is OpenTelemetry's current span, if the item is traced.

    What is instrumented, such as an HTTP client, then joins the trace. Otherwise the block does nothing.
    """
    return current_span.using(item.item_id)
