"""Exports: a list, one in detail, and what a verification found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cli.show.output import Messages, format_value, pluralize, print_fields
from pipeline.cli.show.table import print_table
from pipeline.database.row import Row
from pipeline.exports.exports import view
from pipeline.exports.rules.export_state import ExportState
from pipeline.exports.verify import Verified

_PART_NAMES = ("name", "state", "partition", "first_seq", "last_seq", "rows", "bytes", "sha256")
#: Parts that are listed; `--json` has all.
_MAX_PARTS = 50


def part_json(part: Row) -> dict[str, Any]:
    """Return a part as `--json` prints it."""
    return {name: part[name] for name in _PART_NAMES}


def print_exports(rows: Sequence[Row], *, title: str | None = None) -> None:
    """Print exports as a table."""
    headers = ("export", "batch", "state", "parts", "rows", "target", "last error", "next attempt")
    shown = [view(row) for row in rows]
    names = ("export_id", "batch_id", "state", "parts", "rows", "target", "last_error", "due_at")
    table = [tuple(each[name] for name in names) for each in shown]
    below = ("next attempt", "last error", "target")
    print_table(headers, table, right={"export", "parts", "rows"}, below=below, title=title, empty="no exports")


def print_export(row: Row, parts: Sequence[Row]) -> None:
    """Print an export with its parts."""
    print_fields(view(row))
    if not parts:
        return
    table = [tuple(part[name] for name in _PART_NAMES[:-1]) for part in parts[:_MAX_PARTS]]
    headers = ("part", "state", "partition", "first seq", "last seq", "rows", "bytes")
    print_table(headers, table, right=set(headers[3:]), title="parts")
    if len(parts) > _MAX_PARTS:
        Messages().info(f"… and {len(parts) - _MAX_PARTS:,} more; --json prints all")


def verified_json(found: Verified) -> dict[str, Any]:
    """Return what a verification found as `--json` prints it."""
    row = found.export
    return {
        "export_id": row["id"],
        "batch_id": row["public_id"],
        "target": row["target"],
        "state": row["state"],
        "parts": found.parts,
        "rows": found.rows,
        "bytes": found.bytes,
        "problems": found.problems,
    }


def print_verified(found: Sequence[Verified]) -> None:
    """Print what verifications found."""
    headers = ("export", "target", "parts", "rows", "bytes", "result")
    table = [
        (each.export["id"], each.export["target"], each.parts, each.rows, each.bytes, _result(each)) for each in found
    ]
    print_table(headers, table, right={"export", "parts", "rows", "bytes"}, below=("target",))
    messages = Messages()
    for each in found:
        for problem in each.problems:
            messages.warn(f"export {each.export['id']}: {problem}")


def warn_of_exports(exports: Sequence[Mapping[str, Any]], messages: Messages) -> None:
    """Report the exports of a batch, as `exports.view` returns them, that fail."""
    for each in exports:
        if each["last_error"] is None or each["state"] == ExportState.COMPLETE:
            continue
        number = each["export_id"]
        hint = f"once the cause is gone, run `pipeline exports retry {number}`"
        what = "failed" if each["state"] == ExportState.FAILED else "is tried again"
        messages.warn(f"export {number} {what}: {format_value(each['last_error'])}; {hint}")


def _result(found: Verified) -> str:
    return pluralize(len(found.problems), "problem") if found.problems else "correct"
