"""What guards count: observations of a group of outcomes, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pipeline.alerts.rules.evidence import GuardEvidence, evidence_text, observe
from pipeline.domain.alerts.guard import Guard, GuardCounts, is_failure, most_failures

#: Observations after an alarm from which on a guard that only alerts looks whether failures are rare again, and the
#: part of its rate that they have to be below.
QUIET_OBSERVATIONS, QUIET_SHARE = 200, 0.8


class Observation(NamedTuple):
    """An end of an item, or of an attempt at a stage.

    Args:
        error: the type of the error; None: it succeeded.
    """

    of: GuardCounts
    stage: str
    error: str | None


class Verdict(NamedTuple):
    """What a guard has counted, and whether that is too much.

    Args:
        failures: since the last reset.
        summary: why it fires, for people; None: it does not.
    """

    evidence: GuardEvidence
    failures: int
    summary: str | None


def judge(
    guard: Guard, evidence: GuardEvidence, failures: int, seen: Mapping[Observation, int], *, total: int, now: datetime
) -> Verdict:
    """Return the verdict of a guard after a group of observations.

    Args:
        seen: how often each observation was made.
        total: number of items of the batch.
    """
    counted = {each: number for each, number in seen.items() if _counts(guard, each)}
    observed = sum(counted.values())
    failed = sum(number for each, number in counted.items() if each.error is not None and is_failure(guard, each.error))
    if not observed:
        return Verdict(evidence, failures, None)
    failures += failed
    summary = None
    if guard.rate is not None:
        evidence = observe(evidence, guard.rate, observed=observed, failed=failed, now=now)
        if evidence.is_exceeded:
            summary = evidence_text(evidence, guard.rate, guard.of)
    most = most_failures(guard, total)
    if summary is None and failed and most is not None and failures >= most:
        of = "" if guard.count == most else f" ({guard.count} of {total:,})"
        summary = f"{failures:,} {guard.of} failed; it fires at {most:,}{of}"
    return Verdict(evidence, failures, summary)


def is_quiet(guard: Guard, evidence: GuardEvidence) -> bool:
    """Return whether failures are rare again, by what was observed since the guard has fired."""
    if guard.rate is None or evidence.observed < QUIET_OBSERVATIONS:
        return False
    return evidence.share < QUIET_SHARE * guard.rate


def _counts(guard: Guard, each: Observation) -> bool:
    return each.of == guard.of and (guard.stage is None or guard.stage == each.stage)
