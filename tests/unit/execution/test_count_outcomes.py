"""What became of a group of items is counted by definition, stage and outcome."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.context import Context
from pipeline.definitions import Definition
from pipeline.domain.item import Classification, Enrichment, Stage
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.execution.count_outcomes import count_claimed, count_recorded, count_unrun
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done
from pipeline.telemetry.meter import NULL, ProcessMeter
from tests.support.receivers.configured import NOW

SECOND = timedelta(seconds=1)
MAIL = cast(Definition, SimpleNamespace(name="mail"))


@pytest.fixture
def meter() -> ProcessMeter:
    return ProcessMeter()


@pytest.fixture
def context(meter: ProcessMeter) -> Context:
    return cast(Context, SimpleNamespace(meter=meter, now=lambda: NOW))


def done(id_: int, outcome: Outcome, *, stage: Stage = Stage.CLASSIFY, before: Done | None = None) -> Done:
    row = {"id": id_, "created_at": NOW - 10 * SECOND}
    return Done(row, stage, MAIL, outcome, NOW - 2 * SECOND, NOW, "b", before=before)


def failure(kind: FailureKind) -> Failure:
    return Failure(kind, f"{kind.value}_error", "")


def counted(meter: ProcessMeter) -> dict[tuple[str, ...], float]:
    """Return all counters, and of histograms the numbers of values, without the common beginning of names."""
    counts = meter.read()
    found: dict[tuple[str, ...], float] = {
        (name.removeprefix("pipeline_"), *labels): n for (name, labels), n in counts.counters.items()
    }
    found |= {
        (name.removeprefix("pipeline_"), *labels): sum(each.counts)
        for (name, labels), each in counts.histograms.items()
    }
    return found


OK = Classification("x", 1.0)
KINDS = DispositionKind


def test_outcomes(context: Context, meter: ProcessMeter) -> None:
    transient, throttled, permanent = map(failure, FailureKind)
    given: list[tuple[Outcome, DispositionKind]] = [
        (OK, KINDS.ADVANCED),
        (OK, KINDS.HELD),
        (OK, KINDS.SUCCEEDED),
        (OK, KINDS.STALE),
        (OK, KINDS.LOST),
        (transient, KINDS.PUT_OFF),
        (throttled, KINDS.PUT_OFF),
        (throttled, KINDS.DEAD),
        (permanent, KINDS.DEAD),
        (permanent, KINDS.STALE),
    ]
    outcomes = [done(number, outcome) for number, (outcome, _) in enumerate(given)]
    count_recorded(context, outcomes, {number: Disposition(kind) for number, (_, kind) in enumerate(given)})
    assert counted(meter) == {
        ("attempts_total", "mail", "classify", "succeeded"): 3,
        ("attempts_total", "mail", "classify", "stale"): 2,
        ("attempts_total", "mail", "classify", "lost"): 1,
        ("attempts_total", "mail", "classify", "retry"): 1,
        ("attempts_total", "mail", "classify", "snoozed"): 1,
        ("attempts_total", "mail", "classify", "dead"): 2,
        ("errors_total", "classify", "transient", "transient_error"): 1,
        ("errors_total", "classify", "throttled", "throttled_error"): 2,
        ("errors_total", "classify", "permanent", "permanent_error"): 1,
        ("attempt_seconds", "classify", "succeeded"): 5,
        ("attempt_seconds", "classify", "failed"): 5,
        ("item_seconds", "succeeded"): 1,
        ("item_seconds", "dead"): 2,
    }
    assert meter.read().histograms["pipeline_item_seconds", ("dead",)].sum == 20


@pytest.mark.parametrize(("kind", "outcome"), [(KINDS.SUCCEEDED, "succeeded"), (KINDS.STALE, "stale")])
def test_two_stages_that_were_written_at_once_are_two_attempts(
    context: Context, meter: ProcessMeter, kind: DispositionKind, outcome: str
) -> None:
    both = done(1, Enrichment({}), stage=Stage.ENRICH, before=done(1, OK))
    count_recorded(context, [both], {1: Disposition(kind)})
    found = counted(meter)
    assert found["attempts_total", "mail", "classify", outcome] == 1
    assert found["attempts_total", "mail", "enrich", outcome] == 1


def test_items_that_are_not_run_are_counted_without_their_definition(context: Context, meter: ProcessMeter) -> None:
    count_unrun(context, Stage.ENRICH, Disposition(KINDS.HANDED_BACK), 3)
    count_unrun(context, Stage.ENRICH, Disposition(KINDS.STALE), 0)
    assert counted(meter) == {("attempts_total", "unknown", "enrich", "handed_back"): 3}


def test_a_claim_tells_how_long_first_attempts_waited(context: Context, meter: ProcessMeter) -> None:
    row: dict[str, Any] = {"attempt": 1, "snoozes": 0, "crashes": 0, "queued_at": NOW - SECOND, "classified_at": None}
    retry = row | {"attempt": 2}
    count_claimed(context, Stage.CLASSIFY, [row, row, retry], 0.5)
    count_claimed(context, Stage.ENRICH, [row | {"classified_at": NOW - 3 * SECOND}], 0.5)
    histograms = meter.read().histograms
    assert counted(meter) == {
        ("microbatch_items", "classify"): 1,
        ("microbatch_items", "enrich"): 1,
        ("statement_seconds", "claim"): 2,
        ("queue_seconds", "classify"): 2,
        ("queue_seconds", "enrich"): 1,
    }
    assert histograms["pipeline_queue_seconds", ("classify",)].sum == 2
    assert histograms["pipeline_queue_seconds", ("enrich",)].sum == 3
    assert histograms["pipeline_microbatch_items", ("classify",)].sum == 3


def test_nothing_is_looked_at_where_nothing_is_counted() -> None:
    off = cast(Context, SimpleNamespace(meter=NULL))
    count_recorded(off, cast(list[Done], [object()]), {})
