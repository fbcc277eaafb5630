"""`pipeline evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.argument_types import NumberType
from pipeline.cli.definition_choice import choose_definition
from pipeline.cli.labelled_input import read_rows
from pipeline.cli.reading_options import reading_options, sources_argument, take_reading
from pipeline.cli.show.output import Messages, format_duration, pluralize, print_fields, print_json
from pipeline.cli.show.scores import print_class_scores, print_confusions
from pipeline.definitions import Definition, build_runner
from pipeline.definitions.input_and_retry import input_mapping
from pipeline.domain.did_you_mean import list_names
from pipeline.domain.inputs.field_types import UNFIT, plain_text
from pipeline.domain.inputs.input_mapping import text_of
from pipeline.domain.item import Classification, Stage, WorkItem
from pipeline.domain.outcome import Failure, Outcome
from pipeline.errors import InvalidInput, Permanent
from pipeline.quality.copies import text_identity
from pipeline.quality.evaluation import Classify, Evaluation, UntrainedScore, WasTrainedOn
from pipeline.quality.evaluation import evaluate as measure
from pipeline.quality.example import read_labelled_rows
from pipeline.quality.read_card import read_trained_texts
from pipeline.settings import load as load_settings
from pipeline.stages.catalog import registry
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from pipeline.stages.text.json_path import get_text

_CONFUSIONS = 10


@click.command()
@sources_argument("DATA")
@options.definition
@click.option("--label", metavar="FIELD", default="label", show_default=True, help="Field that holds the true class.")
@click.option("--text", metavar="FIELD", help="Field that the classifier reads. Default: from the definition.")
@click.option(
    "--min-accuracy", type=NumberType(0, 1), metavar="SHARE", help="Exit with code 1 if the accuracy is lower."
)
@reading_options
@options.quiet
@options.as_json
def evaluate(
    sources: tuple[str, ...],
    definition: str | None,
    label: str,
    text: str | None,
    min_accuracy: float | None,
    quiet: bool,
    as_json: bool,
    **reading: Any,
) -> int:
    """Evaluate a definition's classifier on labelled data.

    DATA is one or more files in any input format. Nothing is stored or sent.

    \b
    Examples:
      pipeline evaluate labelled.jsonl -p definition.toml --label expected
      pipeline evaluate test.csv -p intents --label category --min-accuracy 0.88 --json
    """
    chosen = choose_definition(definition, load_settings().definitions)
    fields = (text,) if text else chosen.input.text_fields
    mapping = input_mapping(chosen.input)
    unique = frozenset(map(mapping.source_name, (*fields, label)))
    rows = map(mapping.apply, read_rows(sources, Messages(quiet), take_reading(reading), unique=unique))
    examples = read_labelled_rows(rows, label=label)
    with Executor() as executor:
        classify = _classifier(build_runner(chosen, Stage.CLASSIFY, executor))
        evaluation = measure(
            classify,
            examples,
            text_of=lambda payload: _text(payload, fields),
            was_trained_on=_trained_on(chosen),
        )
    print_json(asdict(evaluation)) if as_json else _print(evaluation)
    if min_accuracy is not None and evaluation.accuracy < min_accuracy:
        Messages(quiet).warn(f"accuracy {evaluation.accuracy:.3f} is below {min_accuracy}")
        return 1
    return 0


def _classifier(runner: StageRunner) -> Classify:
    """Return a function that runs the stage and returns the outcomes in the order of the items."""

    def classify(items: list[WorkItem]) -> list[Classification | Failure]:
        emitted: SimpleQueue[list[tuple[WorkItem, Outcome]]] = SimpleQueue()
        runner.run(items, emitted.put)
        outcomes: dict[str, Any] = {}
        while len(outcomes) < len(items):
            outcomes |= {item.item_id: outcome for item, outcome in emitted.get()}
        return [outcomes[item.item_id] for item in items]

    return classify


def _trained_on(definition: Definition) -> WasTrainedOn | None:
    """Return a function that tells whether an item's text was trained on, if the model card knows."""
    paths = [definition.folder / path for path in registry.files(Stage.CLASSIFY, definition.classify)]
    known = [texts for path in paths if (texts := read_trained_texts(path)) is not None]
    if not known:
        return None
    field = getattr(definition.classify, "field", None)

    def was_trained_on(item: WorkItem) -> bool:
        try:
            identity = text_identity(get_text(item, field))
        except Permanent:
            return False
        return any(identity in texts for texts in known)

    return was_trained_on


def _text(payload: Mapping[str, Any], fields: Sequence[str]) -> str:
    if all(plain_text(payload.get(field)) is UNFIT for field in fields):
        raise InvalidInput(
            f"a row has no text in the field {fields[0]!r}, which the classifier reads; it has {list_names(payload)}"
        )
    return text_of(payload, fields)


def _describe(untrained: UntrainedScore | None) -> str:
    if untrained is None:
        return "no item"
    return f"accuracy {untrained.accuracy:.3f}, macro F1 {untrained.macro_f1:.3f} on {pluralize(untrained.n, 'item')}"


def _print(evaluation: Evaluation) -> None:
    print_class_scores(evaluation.classes)
    print_confusions(evaluation.confusions, _CONFUSIONS)
    fields = {
        "accuracy": f"{evaluation.accuracy:.3f} on {evaluation.n:,} items",
        "macro F1": f"{evaluation.macro_f1:.3f}",
        "not trained on": _describe(evaluation.untrained) if evaluation.n_trained_on else "",
        "time": f"{format_duration(evaluation.seconds)}, {evaluation.n / max(evaluation.seconds, 0.001):,.0f} items/s",
        "failed": f"{evaluation.n_errors:,}" if evaluation.n_errors else "",
    }
    print_fields(fields)
    for warning in evaluation.warnings:
        Messages().warn(f"warning: {warning}")
    for kind, message in evaluation.messages.items():
        Messages().warn(f"failed: {evaluation.errors[kind]:,} × {kind}: {message}")
