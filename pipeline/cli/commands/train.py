"""`pipeline train`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pipeline.cli import options as shared_options
from pipeline.cli.argument_types import OUTPUT_PATH, PATH
from pipeline.cli.file_conflicts import check_file_conflicts
from pipeline.cli.labelled_input import read_rows
from pipeline.cli.reading_options import reading_options, sources_argument, take_reading
from pipeline.cli.show.output import Messages, format_duration, print_fields, print_json
from pipeline.cli.show.scores import print_class_scores
from pipeline.quality.example import Example, read_examples
from pipeline.quality.model_card import TrainingReport, card_path
from pipeline.quality.training import train as fit
from pipeline.sources.locations import local_paths


@click.command()
@sources_argument("DATA")
@click.option("--text", metavar="FIELD", required=True, help="Field that holds the text.")
@click.option("--label", metavar="FIELD", required=True, help="Field that holds the true class.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT_PATH,
    metavar="FILE",
    required=True,
    help="Write the model to FILE; the name must end in .skops.",
)
@click.option(
    "--held-out",
    type=float,
    metavar="SHARE",
    default=0.1,
    show_default=True,
    help="Share of each class to hold out for scoring.",
)
@click.option(
    "--test",
    type=PATH,
    metavar="FILE",
    help="Score on the examples in FILE, which are never trained on, instead of held-out ones.",
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    default=0,
    show_default=True,
    help="Random seed; the same data and seed give the same model.",
)
@reading_options
@shared_options.quiet
@shared_options.as_json
def train(
    sources: tuple[str, ...],
    text: str,
    label: str,
    output: str,
    held_out: float,
    test: str | None,
    seed: int,
    quiet: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Train a text classifier from labelled data.

    DATA is one or more files in any input format. The model card is written next to the model. A definition uses the
    model with `use = "sklearn"`. Needs the extra `sklearn`.

    \b
    Examples:
      pipeline train labelled.csv --text body --label category -o models/tickets.skops
      pipeline train train.csv --test test.csv --text text --label category -o models/intents.skops --json
    """
    card = card_path(Path(output))
    options = take_reading(reading)
    data: dict[str, str | Path | None] = {f"DATA {path}": path for each in sources for path in local_paths(each)}
    check_file_conflicts(reads=data | {"--test": test}, writes={"-o": output, "the model card": card})

    def load_examples(given: Sequence[str]) -> Iterator[Example]:
        rows = read_rows(given, Messages(quiet), options, unique=frozenset((text, label)))
        return read_examples(rows, text=text, label=label)

    report = fit(
        load_examples(sources),
        output=Path(output),
        held_out=held_out,
        seed=seed,
        test=None if test is None else load_examples([test]),
        progress=Messages(quiet).info,
    )
    print_json(asdict(report)) if as_json else _print(report)


def _print(report: TrainingReport) -> None:
    print_class_scores(report.score.classes)
    fields = {
        "accuracy": f"{report.score.accuracy:.3f} on {report.n_scored:,} {report.scored_on}",
        "macro F1": f"{report.score.macro_f1:.3f}",
        "trained on": f"{report.n_train:,} examples in {len(report.labels):,} classes, {report.n_terms:,} terms",
        "time": format_duration(report.seconds),
        "model": report.model,
        "model card": report.card,
    }
    print_fields(fields)
    for warning in report.warnings:
        Messages().warn(f"warning: {warning}")
