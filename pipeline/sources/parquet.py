"""Reads Parquet by record batches; values that JSON cannot represent become text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput

#: Rows decoded at once: enough to be fast, and few enough for wide rows to use little memory.
_BATCH_ROWS = 1_000

_JSON_CONVERSIONS: dict[type, Callable[[Any], object]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    Decimal: str,
    UUID: str,
}


def read_parquet(path: Path, max_bytes: int) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row.

    Timestamps, dates and times become ISO 8601 text, decimals and UUIDs text, and durations seconds.

    Raises:
        InvalidInput: the extra `parquet` is not installed, the file is damaged, a column contains bytes, or two columns
            have the same name.
    """
    arrow, parquet = _import_arrow()
    try:
        with parquet.ParquetFile(path) as file:
            _check_schema(file.schema_arrow, arrow, path)
            first_row = 1
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from _read_batch(_with_microseconds(batch, arrow), first_row, max_bytes)
                first_row += batch.num_rows
    except (arrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"{path} cannot be read as Parquet: {reason}") from None


def _import_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput("reading Parquet needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _check_schema(schema: Any, arrow: Any, path: Path) -> None:
    for field in schema:
        if schema.names.count(field.name) > 1:
            raise InvalidInput(f"{path}: two columns are called {field.name!r}; names must differ")
        if _contains_bytes(field.type, arrow.types):
            raise InvalidInput(
                f"{path}: column {field.name!r} contains bytes ({field.type}), which JSON cannot represent; "
                "convert it to text or remove it"
            )


def _contains_bytes(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        return _contains_bytes(kind.value_type, types)
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return is_bytes or any(_contains_bytes(kind.field(index).type, types) for index in range(kind.num_fields))


def _with_microseconds(batch: Any, arrow: Any) -> Any:
    """Return the batch with times truncated to microseconds, the resolution of Python's types."""
    columns = [_to_microseconds(column, arrow) for column in batch.columns]
    return arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _to_microseconds(column: Any, arrow: Any) -> Any:
    kind = column.type
    if arrow.types.is_timestamp(kind):
        # Converted to UTC, because the name of the time zone may be unknown on this machine.
        return column.cast(arrow.timestamp("us", "UTC" if kind.tz else None), safe=False)
    if arrow.types.is_time64(kind):
        return column.cast(arrow.time64("us"), safe=False)
    return column.cast(arrow.duration("us"), safe=False) if arrow.types.is_duration(kind) else column


def _read_batch(batch: Any, first_row: int, max_bytes: int) -> Iterator[Record | Rejection]:
    for number, row in enumerate(batch.to_pylist(), first_row):
        item = {name: _to_json(value) for name, value in row.items()}
        problem = payload.find_problem(item, max_bytes=max_bytes)
        if problem is None:
            yield Record(number, item)
        else:
            yield Rejection(number, problem, payload.to_text(item))


def _to_json(value: Any) -> Any:
    convert = _JSON_CONVERSIONS.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, dict):
        return {name: _to_json(inner) for name, inner in value.items()}
    return [_to_json(inner) for inner in value] if isinstance(value, list | tuple) else value
