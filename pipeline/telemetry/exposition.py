"""Write readings as OpenMetrics or as Prometheus's text format, by `prometheus_client`.

This module imports it: import the module only where metrics are wanted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pipeline.telemetry.families import BY_NAME, WRITTEN_AT, Family, MetricKind
from pipeline.telemetry.meter import Counts, Histogram, Labels

#: Names of a user's own metrics must not begin with it.
PREFIX = "pipeline_"
_SUFFIX = "_total"

Value = float | Histogram


@dataclass(frozen=True, slots=True)
class FamilyReading:
    """One family and its values by labels."""

    family: Family
    values: Mapping[Labels, Value]


def readings_of(counts: Counts) -> list[FamilyReading]:
    """Return what processes counted, by family, in the order of the registry."""
    by_name: dict[str, dict[Labels, Value]] = {}
    for group in (counts.counters, counts.gauges, counts.histograms):
        for (name, labels), value in group.items():
            by_name.setdefault(name, {})[labels] = value
    return [FamilyReading(family, by_name[name]) for name, family in BY_NAME.items() if name in by_name]


def write(
    readings: Iterable[FamilyReading], accept: str = "", *, with_users_metrics: bool = False
) -> tuple[str, bytes]:
    """Return the media type and the page.

    Args:
        accept: the `Accept` header of the request.
        with_users_metrics: whether to append metrics that a user's code registered with `prometheus_client`.
    """
    encode, media_type = choose_encoder(accept)
    return media_type, encode(_Page(list(readings), with_users_metrics))


def write_text(readings: Iterable[FamilyReading]) -> bytes:
    """Return the page in Prometheus's text format."""
    return generate_latest(_Page(list(readings), False))


def write_file(readings: Iterable[FamilyReading]) -> bytes:
    """Return what a file of Prometheus's node exporter has: the page, with the time at which it is written."""
    return write_text([*readings, FamilyReading(WRITTEN_AT, {(): time.time()})])


class _Page(Collector):
    def __init__(self, readings: list[FamilyReading], with_users_metrics: bool) -> None:
        self._readings = readings
        self._with_users_metrics = with_users_metrics

    def collect(self) -> Iterator[Metric]:
        for reading in self._readings:
            yield _metric(reading)
        if self._with_users_metrics:
            yield from (metric for metric in REGISTRY.collect() if not metric.name.startswith(PREFIX))


def _metric(reading: FamilyReading) -> Metric:
    family = reading.family
    metric = _empty(family)
    for labels, value in sorted(reading.values.items()):
        _add(metric, family, tuple(map(_storable, labels)), value)
    return metric


def _empty(family: Family) -> Metric:
    name = family.name.removesuffix(_SUFFIX)
    if family.kind is MetricKind.COUNTER:
        return CounterMetricFamily(name, family.help, labels=family.labels)
    if family.kind is MetricKind.HISTOGRAM:
        return HistogramMetricFamily(name, family.help, labels=family.labels)
    if family.kind is MetricKind.INFO:
        return InfoMetricFamily(name.removesuffix("_info"), family.help, labels=())
    return GaugeMetricFamily(name, family.help, labels=family.labels)


def _add(metric: Metric, family: Family, labels: Labels, value: Value) -> None:
    if isinstance(metric, InfoMetricFamily):
        metric.add_metric((), dict(zip(family.labels, labels, strict=True)))
    elif isinstance(value, Histogram):
        assert isinstance(metric, HistogramMetricFamily)
        metric.add_metric(labels, _cumulated(family, value), value.sum)
    else:
        assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
        metric.add_metric(labels, value)


def _cumulated(family: Family, histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, family.buckets), "+Inf"]
    total, found = 0, []
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


def _storable(value: str) -> str:
    """Return a label that UTF-8 and every reader can hold: without NUL and lone surrogates."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
