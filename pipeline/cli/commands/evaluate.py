"""`pipeline evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

import click

from pipeline import settings
from pipeline.cli import labelled_input, options
from pipeline.cli.definition_choice import choose
from pipeline.cli.show.output import Talk, duration, print_facts, print_json
from pipeline.cli.show.scores import print_classes, print_confusions
from pipeline.definitions import runner_of
from pipeline.domain.item import Classification, Stage, WorkItem
from pipeline.domain.outcome import Failure, Outcome
from pipeline.errors import InvalidInput
from pipeline.quality.evaluation import Classify, Evaluation
from pipeline.quality.evaluation import evaluate as measure
from pipeline.quality.example import read_labelled_rows
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner

_CONFUSIONS = 10


@click.command()
@click.argument("data", metavar="DATA")
@options.definition
@click.option(
    "--label", metavar="FIELD", default="label", show_default=True, help="Field with its class, given by a person."
)
@click.option("--text", metavar="FIELD", help="Field that the classifier reads; default: the definition's.")
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Exit with 1 where the accuracy is lower.")
@options.input_format
@options.encoding
@options.quiet
@options.as_json
def evaluate(
    data: str,
    definition: str | None,
    label: str,
    text: str | None,
    min_accuracy: float | None,
    input_format: str | None,
    encoding: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Measure a definition's classifier on labelled DATA, in any format of input. Nothing is stored or sent.

    \b
    Examples:
      pipeline evaluate labelled.jsonl -p definition.toml --label expected
      pipeline evaluate test.csv -p intents --label category --min-accuracy 0.88 --json
    """
    chosen = choose(definition, settings.load().definitions)
    field = text or chosen.input.text
    pairs = read_labelled_rows(labelled_input.rows(data, input_format, encoding), label=label)
    with Executor() as executor:
        classify = _classifier(runner_of(chosen, Stage.CLASSIFY, executor))
        found = measure(classify, pairs, text_of=lambda payload: _text(payload, field))
    print_json(asdict(found)) if as_json else _print(found)
    if min_accuracy is not None and found.accuracy < min_accuracy:
        Talk(quiet).warn(f"accuracy {found.accuracy:.3f} is below {min_accuracy}")
        return 1
    return 0


def _classifier(runner: StageRunner) -> Classify:
    def classify(items: list[WorkItem]) -> list[Classification | Failure]:
        emitted: SimpleQueue[list[tuple[WorkItem, Outcome]]] = SimpleQueue()
        runner.run(items, emitted.put)
        outcomes: dict[str, Any] = {}
        while len(outcomes) < len(items):
            outcomes |= {item.item_id: outcome for item, outcome in emitted.get()}
        return [outcomes[item.item_id] for item in items]

    return classify


def _text(payload: dict[str, Any], field: str) -> str:
    value = payload.get(field)
    if not isinstance(value, str):
        known = ", ".join(map(repr, list(payload)[:20]))
        raise InvalidInput(f"a row has no text in the field {field!r}, which the classifier reads; it has {known}")
    return value


def _print(found: Evaluation) -> None:
    print_classes(found.classes)
    print_confusions(found.confusions, _CONFUSIONS)
    facts = {
        "accuracy": f"{found.accuracy:.3f} on {found.n:,} items",
        "macro F1": f"{found.macro_f1:.3f}",
        "time": f"{duration(found.seconds)}, {found.n / max(found.seconds, 0.001):,.0f} items/s",
        "failed": f"{found.n_errors:,}" if found.n_errors else "",
    }
    print_facts(facts)
    for kind, message in found.messages.items():
        Talk().warn(f"failed: {found.errors[kind]:,} × {kind}: {message}")
