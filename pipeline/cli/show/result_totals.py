"""What the results of a batch come to while they are read."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: Labels named while a batch runs.
_TOP = 4


@dataclass(slots=True)
class ResultTotals:
    """Counts results; it grows by eight bytes an item."""

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
            self.latencies.append(_seconds(timings["queued_at"], timings["finished_at"]))

    def top(self) -> str:
        """Return the most frequent labels so far, in one line."""
        return ", ".join(f"{label} {count:,}" for label, count in self.labels.most_common(_TOP))

    def ranked(self) -> dict[str, int]:
        """Return how often each label was given, most frequent first."""
        return dict(self.labels.most_common())

    def latency(self) -> dict[str, float] | None:
        """Return median and 95th percentile of the seconds from release to end; None without any item."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return {name: round(ordered[int(share * (len(ordered) - 1))], 6) for name, share in _SHARES}


_SHARES = (("p50_seconds", 0.5), ("p95_seconds", 0.95))


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
