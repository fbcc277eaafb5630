"""`pipeline train`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.cli import labelled_input, options
from pipeline.cli.file_conflicts import refuse_shared
from pipeline.cli.show.output import Talk, duration, print_facts, print_json
from pipeline.cli.show.scores import print_classes
from pipeline.quality.example import Example, read_examples
from pipeline.quality.model_card import TrainingReport, card_path
from pipeline.quality.training import train as fit


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--text", metavar="FIELD", required=True, help="Field with the text.")
@click.option("--label", metavar="FIELD", required=True, help="Field with the class a person gave it.")
@click.option("-o", "--output", metavar="FILE", required=True, help="Write the model to FILE, which ends in .skops.")
@click.option("--held-out", type=float, default=0.1, show_default=True, help="Share of each class kept for scores.")
@click.option("--test", metavar="FILE", help="Score on these examples instead; they are never trained on.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same data and seed give the same model.")
@options.input_format
@options.encoding
@options.quiet
@options.as_json
def train(
    data: str,
    text: str,
    label: str,
    output: str,
    held_out: float,
    test: str | None,
    seed: int,
    input_format: str | None,
    encoding: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a classifier of texts from labelled DATA, in any format of input.

    The model and its card are written beside each other; a definition uses it with `use = "sklearn"`. Needs the extra
    `sklearn`.

    \b
    Examples:
      pipeline train labelled.csv --text body --label category -o models/tickets.skops
      pipeline train train.csv --test test.csv --text text --label category -o models/intents.skops --json
    """
    talk = Talk(quiet)
    refuse_shared(reads={"DATA": data, "--test": test}, writes={"-o": output, "the card": card_path(Path(output))})

    def pairs(source: str) -> Iterator[Example]:
        return read_examples(labelled_input.rows(source, input_format, encoding), text=text, label=label)

    report = fit(
        pairs(data),
        output=Path(output),
        held_out=held_out,
        seed=seed,
        test=None if test is None else pairs(test),
        progress=talk.say,
    )
    print_json(asdict(report)) if as_json else _print(report)


def _print(report: TrainingReport) -> None:
    print_classes(report.score.classes)
    facts = {
        "accuracy": f"{report.score.accuracy:.3f} on {report.n_scored:,} {report.scored_on}",
        "macro F1": f"{report.score.macro_f1:.3f}",
        "trained on": f"{report.n_train:,} examples of {len(report.labels):,} classes, {report.n_terms:,} terms",
        "time": duration(report.seconds),
        "model": report.model,
        "card": report.card,
    }
    print_facts(facts)
    for warning in report.warnings:
        Talk().warn(f"warning: {warning}")
