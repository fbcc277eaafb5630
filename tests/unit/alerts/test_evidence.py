"""The verdict of a guard, simulated: it keeps quiet at noise, and is quick when something breaks."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from pipeline.alerts.rules.evidence import GuardEvidence, evidence_text, observe

AT = datetime(2026, 11, 30, 19, 3, 12, tzinfo=UTC)


def count_alarms(seed: int, *, items: int, share: float, rate: float, largest: int = 64) -> int:
    """Return how often the rule fires in a batch; evidence starts anew after each time."""
    chance = random.Random(seed)
    evidence, alarms, done = GuardEvidence(), 0, 0
    while done < items:
        size = min(chance.randint(1, largest), items - done)
        failed = sum(chance.random() < share for _ in range(size))
        evidence = observe(evidence, rate, observed=size, failed=failed, now=AT)
        done += size
        if evidence.is_exceeded:
            alarms += 1
            evidence = GuardEvidence()
    return alarms


def items_until_alarm(seed: int, *, quiet: int, share: float, rate: float, largest: int = 32) -> int:
    """Return how many items end after the `quiet` first, of which few fail, until the rule fires."""
    chance = random.Random(seed)
    evidence, done = GuardEvidence(), 0
    while True:
        size = chance.randint(1, largest)
        failed = sum(chance.random() < (share if done + each >= quiet else 0.8 * rate) for each in range(size))
        evidence = observe(evidence, rate, observed=size, failed=failed, now=AT)
        done += size
        if evidence.is_exceeded:
            return done - quiet


def test_noise_below_the_rate_raises_at_most_one_alarm_in_one_of_20_batches_of_50000_items() -> None:
    alarms = [count_alarms(seed, items=50_000, share=0.04, rate=0.05) for seed in range(20)]
    assert max(alarms) <= 1
    assert sum(alarms) <= 1


def test_a_jump_to_20_percent_is_noticed_within_220_items() -> None:
    needed = sorted(items_until_alarm(seed, quiet=500, share=0.2, rate=0.05) for seed in range(200))
    assert 60 <= needed[100] <= 110
    assert needed[-2] <= 220


@pytest.mark.parametrize(("rate", "failures"), [(0.01, 11), (0.05, 11), (0.2, 11), (0.5, 18)])
def test_failures_in_a_row_needed(rate: float, failures: int) -> None:
    evidence = GuardEvidence()
    for number in range(1, 40):
        evidence = observe(evidence, rate, observed=1, failed=1, now=AT)
        if evidence.is_exceeded:
            assert number == failures
            return
    pytest.fail("never fired")


def test_evidence_says_since_when_and_can_be_recomputed() -> None:
    evidence = observe(GuardEvidence(), 0.05, observed=100, failed=0, now=AT.replace(hour=18))
    assert (evidence.score, evidence.observed, evidence.since) == (0.0, 0, AT.replace(hour=18))
    evidence = observe(evidence, 0.05, observed=73, failed=15, now=AT)
    assert evidence.is_exceeded
    assert 7.0 < evidence.score < 7.5
    assert evidence_text(evidence, 0.05, "items") == "since 18:03:12 15 of 73 items failed (20.5 %); 5 % are tolerated"


def test_success_takes_evidence_back() -> None:
    evidence = observe(GuardEvidence(), 0.05, observed=5, failed=5, now=AT)
    assert evidence.score > 3
    assert observe(evidence, 0.05, observed=200, failed=0, now=AT) == GuardEvidence(since=AT)
