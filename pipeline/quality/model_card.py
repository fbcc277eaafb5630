"""The report on a trained model, and its model card: a Markdown file next to the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import orjson

from pipeline.quality.score import ClassScore, Score
from pipeline.quality.trained_texts import TrainedTexts

_CARD_CONFUSIONS = 10


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """How good a trained model is, and what it was trained on.

    Args:
        model: the skops file.
        card: the Markdown file next to it with the content of this report.
        score: accuracy, macro F1, the score of each class, and the most frequent confusions.
        scored_on: "held-out examples" or "test examples".
        labels: the labels that the model can return.
        n_train: examples that the final model was fitted to, including those held out before.
        n_held_out: how many of these were held out from the first model; they determine `confidence_scale` and, without
            test examples, the scores.
        n_scored: examples that the scores are based on.
        n_terms: words and word pairs that the model knows.
        confidence_scale: the factor that calibrates confidence.
        data_hash: SHA-256 of the examples, independent of their order.
        model_hash: SHA-256 of the model file.
        versions: versions of Python and of the packages that made the model.
        warnings: what users should know before they trust the scores.
        seconds: how long training took.
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
    """Return the path of a model's card: that of `tickets.skops` is `tickets.card.md`."""
    return model.with_suffix(".card.md")


def render_card(report: TrainingReport, trained_texts: TrainedTexts) -> str:
    """Return the text of the card: Markdown for people, followed by the same data as JSON for programs.

    Args:
        trained_texts: the texts that the model was trained on, which only the JSON has.
    """
    scores = (*_render_classes(report), *_render_confusions(report))
    return "\n".join([*_render_summary(report), "", *scores, *_render_json(report, trained_texts), ""])


def _render_summary(report: TrainingReport) -> Iterator[str]:
    yield f"# {report.model.name}"
    yield ""
    yield "Text classifier: TF-IDF of words and word pairs, with one linear classifier per class."
    yield ""
    measured = f"on {report.n_scored:,} {report.scored_on}"
    yield f"- Accuracy {report.accuracy:.3f}, macro F1 {report.macro_f1:.3f}, {measured}."
    if report.scored_on.startswith("test"):
        yield "- The scores are those of this model, on examples it was not trained on."
    else:
        yield (
            "- The scores are those of a first model that had not seen these examples; "
            "this model was then fitted to all of them."
        )
    yield f"- Trained on {report.n_train:,} examples of {len(report.labels)} classes; {report.n_terms:,} terms."
    yield f"- Confidence: {_describe_confidence(report)}."
    for warning in report.warnings:
        yield f"- Warning: {warning}."


def _describe_confidence(report: TrainingReport) -> str:
    if report.confidence_scale == 1.0:
        return "not calibrated"
    calibration = f"{report.n_held_out:,} held-out examples (weights times {report.confidence_scale:g})"
    return f"calibrated on {calibration}; of the answers with 0.8, about 80 % are correct"


def _render_classes(report: TrainingReport) -> Iterator[str]:
    yield "| class | precision | recall | F1 | scored |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for each in report.classes:
        scores = f"{each.precision:.3f} | {each.recall:.3f} | {each.f1:.3f}"
        yield f"| {_escape_cell(each.label)} | {scores} | {each.support} |"
    yield ""


def _render_confusions(report: TrainingReport) -> Iterator[str]:
    if report.score.confusions:
        yield "| confused class | answered as | times |"
        yield "| --- | --- | ---: |"
        for each in report.score.confusions[:_CARD_CONFUSIONS]:
            yield f"| {_escape_cell(each.truth)} | {_escape_cell(each.answer)} | {each.count} |"
        yield ""


def _render_json(report: TrainingReport, trained_texts: TrainedTexts) -> Iterator[str]:
    names = {"model": report.model.name, "card": report.card.name}
    data = asdict(report) | names | {"trained_texts": trained_texts.to_json()}
    yield "```json"
    yield orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()
    yield "```"


def _escape_cell(label: str) -> str:
    return " ".join(label.replace("|", "\\|").split())
