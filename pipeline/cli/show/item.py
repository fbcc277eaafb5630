"""One item: its row, its failed attempts and its deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.cli.show.output import format_value, print_fields
from pipeline.cli.show.table import print_table

#: Characters of an answer in the text output; the JSON has everything that is stored.
_ANSWER_LENGTH = 200


def print_item(item: Mapping[str, Any]) -> None:
    """Print an item, as `--json` prints it, as text."""
    fields: dict[str, str | None]
    fields = {name: _text(value) for name, value in item.items() if not isinstance(value, list)}
    fields |= {"error": _error_text(item["error"]), "attempts": _attempts_text(item)}
    del fields["attempts_by_stage"], fields["attempt"]
    print_fields(fields)
    if item["failed_attempts"]:
        _print_attempts(item["failed_attempts"])
    if item["deliveries"]:
        headers = ("id", "event", "state", "attempts", "due", "status", "error", "url")
        names = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "url")
        rows = [[str(row["id"]), *(row[name] for name in names[1:])] for row in item["deliveries"]]
        print_table(headers, rows, title="deliveries", below=("url", "error", "due"))


def _error_text(error: Mapping[str, Any] | None) -> str | None:
    return None if error is None else f"{error['type']}: {error['message']} ({error['kind']}, in {error['stage']})"


def _attempts_text(item: Mapping[str, Any]) -> str:
    return ", ".join(f"{number:,} {stage}" for stage, number in item["attempts_by_stage"].items())


def _print_attempts(attempts: Sequence[Mapping[str, Any]]) -> None:
    headers = ("stage", "number", "outcome", "status", "error", "message", "answer", "ended")
    names = ("stage", "number", "outcome", "status", "error_type", "error_message")
    rows = [
        (*(attempt[name] for name in names), shorten_answer(attempt["answer"]), attempt["ended_at"])
        for attempt in attempts
    ]
    print_table(headers, rows, title="failed attempts", below=("answer", "message", "error"))


def shorten_answer(answer: str | None) -> str:
    """Return the beginning of what another service answered."""
    text = format_value(answer)
    return text if len(text) <= _ANSWER_LENGTH else f"{text[:_ANSWER_LENGTH]}…"


def _text(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict) else format_value(value)
