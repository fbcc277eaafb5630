"""A meter adds up groups, within bounds; the null meter does nothing."""

from __future__ import annotations

import sys
import threading

import pytest

from pipeline.telemetry.exposition import readings_of, write
from pipeline.telemetry.families import (
    ATTEMPT_SECONDS,
    ATTEMPTS,
    DISPATCH_WINDOW,
    ERRORS,
    ITEM_SECONDS,
    MICROBATCH_ITEMS,
    PROCESS_FAMILIES,
    RESTARTS,
    SECONDS,
    MetricKind,
)
from pipeline.telemetry.meter import LONGEST_VALUE, MOST_VALUES, NULL, Counts, Histogram, ProcessMeter, timed


def test_counters_add_up_by_their_labels() -> None:
    meter = ProcessMeter()
    meter.add(ATTEMPTS, ("a", "classify", "succeeded"), 64)
    meter.add(ATTEMPTS, ("a", "classify", "succeeded"), 6)
    meter.add(ATTEMPTS, ("a", "classify", "dead"))
    meter.add(RESTARTS)
    assert meter.read().counters == {
        (ATTEMPTS.name, ("a", "classify", "succeeded")): 70,
        (ATTEMPTS.name, ("a", "classify", "dead")): 1,
        (RESTARTS.name, ()): 1,
    }


def test_a_value_is_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    meter = ProcessMeter()
    meter.observe(MICROBATCH_ITEMS, ("classify",), [1, 2, 3, 256, 257])
    found = meter.read().histograms[MICROBATCH_ITEMS.name, ("classify",)]
    assert found.counts == [1, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert found.sum == 519


def test_a_duration_is_never_negative() -> None:
    meter = ProcessMeter()
    meter.observe(ITEM_SECONDS, ("dead",), [-3600.0, 2.0])
    found = meter.read().histograms[ITEM_SECONDS.name, ("dead",)]
    assert found.sum == 2.0
    assert (found.counts[0], sum(found.counts)) == (1, 2)


def test_what_is_taken_is_counted_again_from_nothing_and_gauges_stay() -> None:
    meter = ProcessMeter()
    meter.add(RESTARTS)
    meter.set(DISPATCH_WINDOW, (), 7)
    taken = meter.take()
    assert taken.counters == {(RESTARTS.name, ()): 1}
    assert meter.read() == Counts(gauges={(DISPATCH_WINDOW.name, ()): 7})
    meter.merge(taken)
    assert meter.read().counters == taken.counters
    meter.unset(DISPATCH_WINDOW)
    assert meter.read().gauges == {}


def test_threads_lose_no_count() -> None:
    meter = ProcessMeter()

    def count() -> None:
        for _ in range(2_000):
            meter.add(RESTARTS)
            meter.observe(ITEM_SECONDS, ("dead",), [0.1, 0.2])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    counts = meter.read()
    assert counts.counters == {(RESTARTS.name, ()): 8_000}
    assert sum(counts.histograms[ITEM_SECONDS.name, ("dead",)].counts) == 16_000


def test_values_from_users_are_cut_and_bounded() -> None:
    meter = ProcessMeter()
    for number in range(10_000):
        for stage in ("classify", "enrich"):
            for outcome in ("succeeded", "retry", "snoozed", "dead", "stale", "lost", "handed_back"):
                meter.add(ATTEMPTS, (f"definition-{number}", stage, outcome))
            for kind in ("transient", "throttled", "permanent"):
                meter.add(ERRORS, (stage, kind, f"Error{number}" + "x" * 100))
    for family in PROCESS_FAMILIES:
        if family.kind is MetricKind.HISTOGRAM:
            for stage in ("classify", "enrich", "succeeded", "failed")[: 4 if family.labels else 1]:
                meter.observe(family, (stage,) * len(family.labels), [1.0])
    counters = meter.read().counters
    definitions = {labels[0] for name, labels in counters if name == ATTEMPTS.name}
    types = {labels[2] for name, labels in counters if name == ERRORS.name}
    assert len(definitions) == len(types) == MOST_VALUES + 1
    assert {"other"} == definitions & types
    assert max(map(len, types)) == LONGEST_VALUE
    assert sum(n for (name, _), n in counters.items() if name == ATTEMPTS.name) == 140_000
    _, page = write(readings_of(meter.read()))
    series = [line for line in page.splitlines() if not line.startswith(b"#")]
    assert len(series) <= 3_000
    assert len(page) <= 1_000_000


def test_a_block_that_fails_is_not_timed() -> None:
    meter = ProcessMeter()
    with pytest.raises(KeyError), timed(meter, ATTEMPT_SECONDS, "classify", "failed"):
        raise KeyError
    assert meter.read() == Counts()
    with timed(meter, ATTEMPT_SECONDS, "classify", "failed"):
        pass
    assert sum(meter.read().histograms[ATTEMPT_SECONDS.name, ("classify", "failed")].counts) == 1


def test_the_null_meter_takes_everything_and_keeps_nothing() -> None:
    NULL.add(RESTARTS)
    NULL.observe(ITEM_SECONDS, ("dead",), [1.0])
    NULL.set(DISPATCH_WINDOW, (), 1)
    NULL.unset(DISPATCH_WINDOW)
    with timed(NULL, ITEM_SECONDS, "dead"):
        pass
    assert not NULL.is_on
    assert not hasattr(NULL, "__dict__") or NULL.__dict__ == {}


def test_histograms_that_are_merged_add_up() -> None:
    meter = ProcessMeter()
    meter.observe(ITEM_SECONDS, ("dead",), [0.001])
    counts = [0] * (len(SECONDS) + 1)
    counts[-1] = 2
    meter.merge(Counts(histograms={(ITEM_SECONDS.name, ("dead",)): Histogram(counts, 9_000.0)}))
    found = meter.read().histograms[ITEM_SECONDS.name, ("dead",)]
    assert (found.counts[0], found.counts[-1], found.sum) == (1, 2, 9_000.001)
