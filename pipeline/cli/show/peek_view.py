"""Shows the beginning of a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.cli.show.output import format_value, pluralize, print_fields
from pipeline.cli.show.read_progress import format_bytes
from pipeline.cli.show.table import print_table
from pipeline.cli.streams import print_data
from pipeline.domain.payload import to_text
from pipeline.sources.peek import Column, Peek, shorten

#: Columns shown as a table of rows, and reasons listed.
_MAX_COLUMNS = 8
_MAX_REASONS = 10


class Refusals(NamedTuple):
    """Rows that would be refused.

    Args:
        rows: how many.
        of: how many were looked at.
        reasons: the first place, the number of rows and the reason of each.
    """

    rows: int
    of: int
    reasons: Sequence[tuple[str, int, str]]


class PeekView(NamedTuple):
    """What is shown of a source.

    Args:
        name: of the source.
        advice: options that would help.
    """

    name: str
    found: Peek
    refusals: Refusals
    advice: Sequence[str]

    @property
    def types(self) -> dict[str, str]:
        """What to put into `[input.types]` for columns whose text could be converted."""
        return {column.name: kind for column in self.found.columns if (kind := column.proposed_type) is not None}


def peek_json(view: PeekView, rows: int) -> dict[str, Any]:
    """Return what is shown as JSON."""
    found = view.found
    return {
        "source": view.name,
        "files": found.files,
        "bytes": found.size,
        "rows": found.rows,
        "rows_exact": found.is_whole or "rows" in found.report.facts,
        "rows_read": len(found.items),
        "blank_rows": found.report.blank_rows,
        "facts": {name: {"value": fact.value, "by": fact.reason or None} for name, fact in found.report.facts.items()},
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "filled": column.filled / max(len(found.records), 1),
                "distinct": min(len(column.distinct), 100),
                "examples": column.examples,
            }
            for column in found.columns
        ],
        "sample": [record.payload for record in found.records[:rows]],
        "refused": view.refusals.rows,
        "reasons": [
            {"place": place, "count": count, "reason": reason} for place, count, reason in view.refusals.reasons
        ],
        "options": list(view.advice),
        "types": view.types,
    }


def print_peek(view: PeekView, rows: int) -> None:
    """Print what is shown for people."""
    found = view.found
    facts = {name: _with_reason(fact.value, fact.reason) for name, fact in found.report.facts.items() if name != "rows"}
    size = "" if found.size is None else format_bytes(found.size)
    files = "" if found.files in (None, 1) else f"{found.files:,}"
    print_fields({"source": view.name, "files": files, "size": size, **facts, "rows": _count(found)})
    if found.columns:
        _print_columns(found)
    _print_rows(found, rows)
    _print_advice(view)


def _print_columns(found: Peek) -> None:
    print_table(
        ["column", "type", "filled", "distinct", "examples"],
        [_column_row(column, len(found.records)) for column in found.columns],
        right=["filled", "distinct"],
        below=["examples"],
        title="columns",
    )


def _print_advice(view: PeekView) -> None:
    if view.refusals.rows:
        print_data(f"\n{pluralize(view.refusals.rows, 'row')} of {view.refusals.of:,} would be refused:")
        for place, count, reason in view.refusals.reasons[:_MAX_REASONS]:
            more = f" and {count - 1:,} more" if count > 1 else ""
            print_data(f"  {place}{more}: {format_value(reason)}")
        if len(view.refusals.reasons) > _MAX_REASONS:
            print_data(f"  … and {len(view.refusals.reasons) - _MAX_REASONS:,} other reasons")
    if view.advice:
        print_data(f"\nTry: {' '.join(map(format_value, view.advice))}")
    if view.types:
        print_data("\nThese are text. To store other types, put into the definition:\n[input.types]")
        for name, kind in view.types.items():
            print_data(f'{_toml_key(name)} = "{kind}"')


def _with_reason(value: str, reason: str) -> str:
    return f"{value}, by {reason}" if reason else value


def _count(found: Peek) -> str:
    if found.rows is None:
        return f"more than {len(found.items):,}"
    is_exact = found.is_whole or "rows" in found.report.facts
    return f"{found.rows:,}" if is_exact else f"about {_rounded(found.rows):,}"


def _rounded(number: int) -> int:
    """Return a number with two digits that are not zero."""
    return round(number, 2 - len(str(number)))


def _column_row(column: Column, rows: int) -> list[object]:
    share = f"{column.filled / max(rows, 1):.0%}"
    distinct = "> 100" if len(column.distinct) > 100 else f"{len(column.distinct):,}"
    return [column.name, column.type, share, distinct, " · ".join(column.examples)]


def _print_rows(found: Peek, rows: int) -> None:
    shown = found.records[:rows]
    names = [column.name for column in found.columns][:_MAX_COLUMNS]
    if not shown or not names:
        return
    cells = [["" if (value := each.payload.get(name)) is None else _cell(value) for name in names] for each in shown]
    hidden = len(found.columns) - len(names)
    print_table(
        ["line", *names],
        [[each.line, *row] for each, row in zip(shown, cells, strict=True)],
        right=["line"],
        below=names,
        title="first rows" if not hidden else f"first rows, without {pluralize(hidden, 'column')}",
    )


def _cell(value: Any) -> str:
    return shorten(value if isinstance(value, str) else to_text(value))


def _toml_key(name: str) -> str:
    is_bare = name.isascii() and all(char.isalnum() or char in "-_" for char in name)
    return name if is_bare else to_text(name)
