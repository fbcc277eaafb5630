"""The job's classifier and enricher for the pipeline: what is measured is everything around them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.job import enrichment_of, label_of
from pipeline import WorkItem, batched


@batched(max_items=256)
def classify(items: Sequence[WorkItem]) -> list[str]:
    """Tell even lengths from odd ones."""
    return [label_of(item.text) for item in items]


async def enrich(item: WorkItem) -> dict[str, int]:
    """Count characters."""
    return enrichment_of(item.text)
