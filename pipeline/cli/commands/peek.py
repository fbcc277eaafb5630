"""`pipeline peek`."""

from __future__ import annotations

import shlex
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import click

from pipeline.batches.validate import ItemValidator, Rules
from pipeline.cli import options
from pipeline.cli.argument_types import FIELD, whole_number
from pipeline.cli.definition_choice import choose_definition
from pipeline.cli.mapping_options import map_input, mapping_options
from pipeline.cli.reading_options import reading_options, sources_argument, take_reading
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.peek_view import PeekView, Refusals, peek_json, print_peek
from pipeline.connections.destinations import Destinations
from pipeline.definitions import Definition
from pipeline.definitions.input_and_retry import input_mapping
from pipeline.domain.bounds import ITEM_KEY, WholeNumber
from pipeline.domain.payload import MAX_PAYLOAD_BYTES, Rejection
from pipeline.settings import load as load_settings
from pipeline.sources import ReadReport, open_source
from pipeline.sources.peek import Column, Peek
from pipeline.sources.peek import peek as look_at

_ROWS = 5


@click.command()
@sources_argument("INPUT")
@options.definition
@click.option(
    "--rows",
    type=whole_number(WholeNumber(0, 1_000)),
    default=_ROWS,
    show_default=True,
    metavar="N",
    help="Rows to show.",
)
@click.option("--key", type=FIELD, metavar="FIELD", help="Field that holds your own id of each item.")
@reading_options
@mapping_options
@options.quiet
@options.as_json
def peek(
    sources: tuple[str, ...],
    definition: str | None,
    rows: int,
    key: str | None,
    rename: tuple[tuple[str, str], ...],
    text: tuple[str, ...] | None,
    fields: tuple[str, ...] | None,
    quiet: bool,
    as_json: bool,
    **reading: Any,
) -> int:
    """Show how INPUT is read.

    Reads at most 1,000 rows of it, and needs no database. Prints its format, encoding and delimiter and by what they
    are known, its columns with their types and examples, the first rows, which rows would be refused and why, and the
    options that would help. With -p, the rows are checked like items of that definition. Exits with 1 if a row would
    be refused.

    \b
    Examples:
      pipeline peek tickets.csv
      pipeline peek 'in/*.csv.gz' -p definition.toml
      pipeline peek export.xlsx --sheet Tickets --json
    """
    chosen = None
    if definition is not None or rename or text or fields or key:
        chosen = map_input(choose_definition(definition, load_settings().definitions), rename, text, fields)
    warnings: list[str] = []
    report = ReadReport(warn=warnings.append)
    source = open_source(sources, take_reading(reading), report)
    found = look_at(source, report)
    refusals = _check(found, chosen, key)
    view = PeekView(source.name, found, refusals, _advise(found, chosen, key, refusals))
    if as_json:
        print_json({**peek_json(view, rows), "warnings": warnings})
    else:
        print_peek(view, rows)
        for warning in warnings:
            Messages(quiet).warn(warning)
    return 1 if refusals.rows else 0


def _check(found: Peek, definition: Definition | None, key: str | None) -> Refusals:
    """Return which rows would be refused, and why."""
    refused: list[Rejection] = []
    if definition is None:
        refused = [item for item in found.items if isinstance(item, Rejection)]
    else:
        rules = Rules(
            text_fields=definition.input.text_fields,
            mapping=input_mapping(definition.input),
            accepts_empty_text=definition.input.empty == "accept",
            key_field=key or definition.input.key,
            callback_url_field=None,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            destinations=Destinations(),
            has_secret=True,
        )
        validator = ItemValidator(rules, refused.append, all_or_none=False)
        seen: dict[str, int] = {}
        for row in validator.rows(found.items, lambda: datetime.now(UTC)):
            if row["key"] is not None and seen.setdefault(row["key"], row["position"]) != row["position"]:
                reason = f"its key {row['key']!r} is also the key of {validator.name_item(seen[row['key']])}"
                validator.refuse(Rejection(row["line"], reason, row["payload"], row["file"]))
    reasons = Counter(each.reason for each in refused)
    first = {each.reason: each.place for each in reversed(refused)}
    return Refusals(
        len(refused), len(found.items), [(first[reason], count, reason) for reason, count in reasons.items()]
    )


def _advise(found: Peek, definition: Definition | None, key: str | None, refusals: Refusals) -> list[str]:
    """Return options that would help."""
    advice = [f"{option} {value}" for option, value in found.report.proposals.items()]
    if definition is None or not found.columns or refusals.rows < refusals.of or advice:
        return advice
    names = {column.name for column in found.columns}
    source_name = input_mapping(definition.input).source_name
    sought = definition.input.text_fields
    longest = None
    if not names.intersection(map(source_name, sought)):
        texts = [column for column in found.columns if column.type == "text"]
        longest = max(texts, key=lambda column: column.longest, default=None)
        if longest is not None:
            advice.append(f"--map {shlex.quote(f'{sought[0]}={longest.name}')}")
    key_field = key or definition.input.key
    if key_field is not None and source_name(key_field) not in names:
        unique = next((each.name for each in found.columns if each is not longest and _is_unique(found, each)), None)
        if unique is not None:
            advice.append(f"--key {shlex.quote(unique)}")
    return advice


def _is_unique(found: Peek, column: Column) -> bool:
    """Return whether each row has a short value in a column that no other has."""
    is_key = (
        column.type in ("integer", "text") and column.longest <= ITEM_KEY.most and column.filled == len(found.records)
    )
    return is_key and len({record.payload[column.name] for record in found.records}) == column.filled
