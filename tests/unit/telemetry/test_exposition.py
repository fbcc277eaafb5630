"""The page is read back by foreign parsers, for any content of labels."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pipeline.monitoring.families import BUILD_INFO, ITEMS, SUBMITTED
from pipeline.telemetry import exposition
from pipeline.telemetry.exposition import FamilyReading, readings_of, write, write_file
from pipeline.telemetry.families import ATTEMPTS, ITEM_SECONDS, RESIDENT_BYTES
from pipeline.telemetry.meter import ProcessMeter

#: What Prometheus asks for.
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
AWKWARD = 'a "quoted"\nline \\ with \x00 and \ud800 and 😀'


@pytest.fixture
def readings() -> list[FamilyReading]:
    meter = ProcessMeter()
    meter.add(ATTEMPTS, (AWKWARD, "classify", "succeeded"), 3)
    meter.observe(ITEM_SECONDS, ("succeeded",), [0.004, 0.3, 7_000.0])
    meter.set(RESIDENT_BYTES, ("worker",), 1e8)
    info = FamilyReading(BUILD_INFO, {("1.0", "0013", "sqlite"): 1.0})
    return [
        *readings_of(meter.read()),
        info,
        FamilyReading(SUBMITTED, {(): 5.0}),
        FamilyReading(ITEMS, {("d", "dead"): 0.0}),
    ]


def test_prometheus_gets_openmetrics_and_reads_it(readings: list[FamilyReading]) -> None:
    media_type, page = write(readings, PROMETHEUS)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert page.endswith(b"# EOF\n")
    families = {family.name: family for family in parse_openmetrics(page.decode())}
    attempts = families["pipeline_attempts"]
    assert attempts.type == "counter"
    (sample,) = [each for each in attempts.samples if each.name.endswith("_total")]
    assert sample.labels["definition"] == AWKWARD.replace("\x00", "").replace("\ud800", "?")
    assert sample.value == 3
    buckets = {
        each.labels["le"]: each.value for each in families["pipeline_item_seconds"].samples if "le" in each.labels
    }
    assert (buckets["0.005"], buckets["0.25"], buckets["0.5"], buckets["3600.0"], buckets["+Inf"]) == (1, 1, 2, 2, 3)
    assert families["pipeline_build"].type == "info"


def test_others_get_text_and_read_it(readings: list[FamilyReading]) -> None:
    media_type, page = write(readings, "text/plain")
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    found = {sample.name: sample.value for family in parse_text(page.decode()) for sample in family.samples}
    assert found["pipeline_attempts_total"] == 3
    assert found["pipeline_submitted_items_total"] == 5
    assert found["pipeline_items"] == 0
    assert found["pipeline_item_seconds_count"] == 3


def test_the_file_says_when_it_was_written(readings: list[FamilyReading]) -> None:
    found = {family.name for family in parse_text(write_file(readings).decode())}
    assert "pipeline_written_at_seconds" in found


def test_a_users_metrics_are_appended_unless_they_look_like_ours(
    readings: list[FamilyReading], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    Counter("tokens_total", "A user's.", registry=registry).inc(4)
    Counter("pipeline_tokens_total", "A user's that looks like ours.", registry=registry).inc()
    monkeypatch.setattr(exposition, "REGISTRY", registry)
    shown = write(readings, with_users_metrics=True)[1].decode()
    assert "tokens_total 4.0" in shown.splitlines()
    assert "pipeline_tokens_total" not in shown
    assert "tokens_total" not in write(readings)[1].decode()
