"""Totals over the results of a batch while they are read."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

#: Number of labels in the progress display.
TOP_LABELS = 4

_PERCENTILES = (("p50_seconds", 0.5), ("p95_seconds", 0.95))


@dataclass(slots=True)
class ResultTotals:
    """Counts labels and latencies. Memory grows by eight bytes per item."""

    labels: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    count: int = 0

    def add(self, result: Mapping[str, Any]) -> None:
        """Count one result."""
        self.count += 1
        if result["label"] is not None:
            self.labels[result["label"]] += 1
        timings = result["timings"]
        if timings["queued_at"] and timings["finished_at"]:
            self.latencies.append(_seconds_between(timings["queued_at"], timings["finished_at"]))

    def top(self) -> str:
        """Return the most frequent labels in one line."""
        return top_labels(self.labels.most_common(TOP_LABELS))

    def ranked(self) -> dict[str, int]:
        """Return the count of each label, most frequent first."""
        return dict(self.labels.most_common())

    def latency(self) -> dict[str, float] | None:
        """Return median and 95th percentile of the seconds from release to end; None if no item has both times."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return {name: round(ordered[int(share * (len(ordered) - 1))], 6) for name, share in _PERCENTILES}


def top_labels(ranked: Iterable[tuple[str, int]]) -> str:
    """Return the first labels and their counts in one line."""
    return ", ".join(f"{label} {count:,}" for label, count in islice(ranked, TOP_LABELS))


def _seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
