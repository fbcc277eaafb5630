"""Count in plain dictionaries, whole groups at a time. Where nothing is counted, the meter is `NULL`."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.telemetry.families import BY_NAME, Family

#: Values of labels, in the order of the family's labels.
Labels = tuple[str, ...]
Key = tuple[str, Labels]

#: Values of these labels come from users: the first ones that a process sees are kept, the others are `OTHER`.
BOUNDED = frozenset({"definition", "provider", "error_type"})
MOST_VALUES = 50
LONGEST_VALUE = 64
OTHER = "other"


class Meter(Protocol):
    """Takes what a process counts. Usable from any thread."""

    #: Whether anything is counted: where finding out what to count costs something, ask first.
    is_on: bool

    def add(self, family: Family, labels: Labels = (), n: float = 1) -> None:
        """Add to a counter."""

    def observe(self, family: Family, labels: Labels, values: Sequence[float]) -> None:
        """Add values to a histogram. Negative ones, as after a clock was set back, count as 0."""

    def set(self, family: Family, labels: Labels, value: float) -> None:
        """Set a gauge."""

    def unset(self, family: Family) -> None:
        """Remove a gauge that is another process's now."""


class NullMeter:
    """Counts nothing."""

    is_on = False

    def add(self, family: Family, labels: Labels = (), n: float = 1) -> None:
        return

    def observe(self, family: Family, labels: Labels, values: Sequence[float]) -> None:
        return

    def set(self, family: Family, labels: Labels, value: float) -> None:
        return

    def unset(self, family: Family) -> None:
        return


NULL: Meter = NullMeter()


@dataclass(slots=True)
class Histogram:
    """Observations: how many fell into each bucket, the last one being infinite, and their sum."""

    counts: list[int]
    sum: float = 0.0

    def add(self, counts: Sequence[int], sum_: float) -> None:
        """Add other observations of the same buckets."""
        for index, count in enumerate(counts):
            self.counts[index] += count
        self.sum += sum_


@dataclass(slots=True)
class Counts:
    """What was counted: all of it, or since it was last taken."""

    counters: dict[Key, float] = field(default_factory=dict)
    histograms: dict[Key, Histogram] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)


class ProcessMeter:
    """Counts for one process, and for the children that send it what they counted."""

    is_on = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        #: By name of the label.
        self._seen: dict[str, set[str]] = {}

    def add(self, family: Family, labels: Labels = (), n: float = 1) -> None:
        key = family.name, labels
        with self._lock:
            counters = self._counts.counters
            if key not in counters:
                key = self._bounded(family, labels)
            counters[key] = counters.get(key, 0) + n

    def observe(self, family: Family, labels: Labels, values: Sequence[float]) -> None:
        if not values:
            return
        buckets = family.buckets
        with self._lock:
            found = self._histogram(family, labels)
            counts, total = found.counts, 0.0
            for value in values:
                counts[bisect_left(buckets, value)] += 1
                if value > 0:
                    total += value
            found.sum += total

    def set(self, family: Family, labels: Labels, value: float) -> None:
        with self._lock:
            self._counts.gauges[self._bounded(family, labels)] = value

    def unset(self, family: Family) -> None:
        with self._lock:
            for key in [key for key in self._counts.gauges if key[0] == family.name]:
                del self._counts.gauges[key]

    def merge(self, counts: Counts) -> None:
        """Add what another process counted, or what could not be sent. Gauges are left alone."""
        for (name, labels), n in counts.counters.items():
            self.add(BY_NAME[name], labels, n)
        with self._lock:
            for (name, labels), histogram in counts.histograms.items():
                self._histogram(BY_NAME[name], labels).add(histogram.counts, histogram.sum)

    def take(self) -> Counts:
        """Return what was counted since the last call. Gauges stay."""
        with self._lock:
            taken = self._counts
            self._counts = Counts(gauges=dict(taken.gauges))
        return taken

    def read(self) -> Counts:
        """Return all that was counted."""
        with self._lock:
            held = self._counts
            histograms = {key: Histogram(list(each.counts), each.sum) for key, each in held.histograms.items()}
            return Counts(dict(held.counters), histograms, dict(held.gauges))

    def _histogram(self, family: Family, labels: Labels) -> Histogram:
        key = family.name, labels
        found = self._counts.histograms.get(key)
        if found is None:
            key = self._bounded(family, labels)
            found = self._counts.histograms.get(key)
        if found is None:
            found = self._counts.histograms[key] = Histogram([0] * (len(family.buckets) + 1))
        return found

    def _bounded(self, family: Family, labels: Labels) -> Key:
        return family.name, tuple(map(self._bound, family.labels, labels))

    def _bound(self, name: str, value: str) -> str:
        if name not in BOUNDED:
            return value
        return bound(value, self._seen.setdefault(name, set()))


def bound(value: str, seen: set[str]) -> str:
    """Return the value of a label, cut; `OTHER` if it is new and `seen`, to which it is added, is full."""
    value = value[:LONGEST_VALUE]
    if value in seen:
        return value
    if len(seen) >= MOST_VALUES:
        return OTHER
    seen.add(value)
    return value


@contextmanager
def timed(meter: Meter, family: Family, *labels: str) -> Iterator[None]:
    """Observe how long the block takes, if it does not raise."""
    if not meter.is_on:
        yield
        return
    began = time.perf_counter()
    yield
    meter.observe(family, labels, [time.perf_counter() - began])


class _Process:
    """The meter of this process."""

    meter: Meter = NULL


def process_meter() -> Meter:
    """Return what this process counts with: `NULL`, unless it was asked to show metrics."""
    return _Process.meter


def set_process_meter(meter: Meter) -> None:
    """Make this process count with `meter` from now on, in what is opened afterwards."""
    _Process.meter = meter
