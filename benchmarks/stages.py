"""The job's classifier and enricher for the pipeline: what is measured is everything around them."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

from benchmarks.job import enrichment_of, label_of
from pipeline import WorkItem, batched

#: Of the latencies that `wait` takes: half are below the first, one in a hundred above the second.
MEDIAN_SECONDS, P99_SECONDS = 0.05, 2.0
#: None is longer: a call that exceeds the timeout of its stage fails.
LONGEST_SECONDS = 20.0
_SIGMA = math.log(P99_SECONDS / MEDIAN_SECONDS) / 2.3263


@batched(max_items=256)
def classify(items: Sequence[WorkItem]) -> list[str]:
    """Tell even lengths from odd ones."""
    return [label_of(item.text) for item in items]


async def enrich(item: WorkItem) -> dict[str, int]:
    """Count characters."""
    return enrichment_of(item.text)


async def wait(item: WorkItem) -> dict[str, int]:
    """Count characters after a while, as a service elsewhere would."""
    await asyncio.sleep(latency_of(item.text))
    return enrichment_of(item.text)


def latency_of(text: str) -> float:
    """Return the seconds that `wait` takes for a text: long-tailed, and the same in every run."""
    return min(random.Random(text).lognormvariate(math.log(MEDIAN_SECONDS), _SIGMA), LONGEST_SECONDS)


async def doze(item: WorkItem) -> dict[str, int]:
    """Count characters, after `sleep_seconds` where an item has them."""
    await asyncio.sleep(item.payload.get("sleep_seconds", 0))
    return enrichment_of(item.text)
