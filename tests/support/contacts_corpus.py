"""Measures the contacts enricher on `tests/data/contacts`: `python -m tests.support.contacts_corpus`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.domain.item import WorkItem
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.contacts import Spec, build

FOLDER = Path(__file__).parents[1] / "data" / "contacts"
HALVES, KINDS = ("tuning", "held_out"), ("phones", "emails", "domains")

MIN_DIGITS = 7
#: How a text can write an @.
AT_SIGNS = ("@", "＠", "%40", "=40", "#64", "#x40", "u0040", "&commat;")


@dataclass(slots=True)
class Score:
    """How many values were found rightly, found wrongly and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed)


def read(half: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@cache
def measure(half: str) -> dict[str, Score]:
    """Return the score of each kind on one half of the texts."""
    scores = {kind: Score() for kind in KINDS}
    for row in read(half):
        (answer,) = _step(row["region"]).call([WorkItem("b-1", "b", {}, row["text"])])
        assert isinstance(answer, dict)
        for kind, score in scores.items():
            expected, found = set(row[kind]), set(answer[kind])
            score.right += len(expected & found)
            score.wrong += len(found - expected)
            score.missed += len(expected - found)
    return scores


def is_negative(row: dict[str, Any], kind: str) -> bool:
    """Return whether a text holds nothing of a kind, but something that looks like it."""
    text = row["text"]
    looks_like = {
        "phones": sum(char.isdigit() for char in text) >= MIN_DIGITS,
        "emails": any(sign in text for sign in AT_SIGNS),
        "domains": "." in text or "．" in text,
    }
    return not row[kind] and looks_like[kind]


@cache
def _step(region: str | None) -> Step:
    return build(Spec.model_validate({"use": "contacts", "region": region}), Path())


if __name__ == "__main__":
    for half in HALVES:
        for kind, score in measure(half).items():
            print(f"{half:9} {kind:8} precision {score.precision:.3f} recall {score.recall:.3f}")
