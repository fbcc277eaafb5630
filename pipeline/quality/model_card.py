"""What training a model came to, and the card that is kept beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import orjson

from pipeline.quality.score import ClassScore, Score

_CARD_CONFUSIONS = 10


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """How good a trained model is and what it was made of.

    Args:
        model: the skops file.
        card: the Markdown file beside it that says all this.
        score: accuracy, macro F1, the score of each class, and the worst confusions.
        scored_on: "held-out examples" or "test examples".
        labels: what the model can answer.
        n_train: examples that the written model was fitted to, the held-out ones included.
        n_held_out: of these, how many a first model had not seen; they set `confidence_scale` and, without test
            examples, the scores.
        n_scored: examples behind the scores.
        n_terms: words and pairs of words the model knows.
        confidence_scale: factor that makes confidence fit how often answers are right.
        data_hash: SHA-256 of the examples, whatever their order.
        model_hash: SHA-256 of the model file.
        versions: of the packages the model was made with.
        warnings: what a person should know before trusting the scores.
        seconds: how long it took.
    """

    model: Path
    card: Path
    score: Score
    scored_on: str
    labels: tuple[str, ...]
    n_train: int
    n_held_out: int
    n_scored: int
    n_terms: int
    confidence_scale: float
    seed: int
    data_hash: str
    model_hash: str
    versions: dict[str, str]
    warnings: tuple[str, ...]
    trained_at: datetime
    seconds: float

    @property
    def accuracy(self) -> float:
        return self.score.accuracy

    @property
    def macro_f1(self) -> float:
        return self.score.macro_f1

    @property
    def classes(self) -> tuple[ClassScore, ...]:
        return self.score.classes


def card_path(model: Path) -> Path:
    """Return where the card of a model stands: `tickets.skops` has `tickets.card.md`."""
    return model.with_suffix(".card.md")


def card(report: TrainingReport) -> str:
    """Return the card: Markdown for people, and at its end the same as JSON for programs."""
    return "\n".join([*_summary(report), "", *_table(report), *_confused(report), *_data(report), ""])


def _summary(report: TrainingReport) -> Iterator[str]:
    yield f"# {report.model.name}"
    yield ""
    yield "Classifier of texts: TF-IDF of words and pairs of words, one linear separator for each class."
    yield ""
    measured = f"on {report.n_scored:,} {report.scored_on}"
    yield f"- Accuracy {report.accuracy:.3f}, macro F1 {report.macro_f1:.3f}, {measured}."
    if report.scored_on.startswith("test"):
        yield "- The scores are of this very model, on examples it was not trained on."
    else:
        yield "- The scores are of a first model that had not seen these; this one was fitted anew to all examples."
    yield f"- Trained on {report.n_train:,} examples of {len(report.labels)} classes; {report.n_terms:,} terms."
    yield f"- Confidence: {_confidence(report)}."
    for warning in report.warnings:
        yield f"- Warning: {warning}."


def _confidence(report: TrainingReport) -> str:
    if report.confidence_scale == 1.0:
        return "as the separators give it, uncorrected"
    on = f"{report.n_held_out:,} held-out examples"
    return f"of answers with 0.8, about 80 % are right (made so on {on}: weights times {report.confidence_scale:g})"


def _table(report: TrainingReport) -> Iterator[str]:
    yield "| class | precision | recall | F1 | scored |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for each in report.classes:
        shares = f"{each.precision:.3f} | {each.recall:.3f} | {each.f1:.3f}"
        yield f"| {_cell(each.label)} | {shares} | {each.support} |"
    yield ""


def _confused(report: TrainingReport) -> Iterator[str]:
    if report.score.confusions:
        yield "| taken for another: class | answered | times |"
        yield "| --- | --- | ---: |"
        for each in report.score.confusions[:_CARD_CONFUSIONS]:
            yield f"| {_cell(each.truth)} | {_cell(each.answer)} | {each.count} |"
        yield ""


def _data(report: TrainingReport) -> Iterator[str]:
    facts = asdict(report) | {"model": report.model.name, "card": report.card.name}
    yield "```json"
    yield orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()
    yield "```"


def _cell(label: str) -> str:
    return " ".join(label.replace("|", "\\|").split())
