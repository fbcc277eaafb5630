"""A classifier and an enricher that cost next to nothing: what is measured is everything around them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import WorkItem, batched


@batched(max_items=256)
def classify(items: Sequence[WorkItem]) -> list[str]:
    """Tell even lengths from odd ones."""
    return ["even" if len(item.text) % 2 == 0 else "odd" for item in items]


async def enrich(item: WorkItem) -> dict[str, int]:
    """Count characters."""
    return {"characters": len(item.text)}
