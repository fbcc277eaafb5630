"""Parquet: rows by record batches; values that JSON does not know become text."""

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

#: Rows decoded at once: enough to be fast, few enough that wide rows stay small in memory.
_BATCH_ROWS = 1_000

_AS_JSON: dict[type, Callable[[Any], object]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    Decimal: str,
    UUID: str,
}


def read_columns(path: Path, max_bytes: int) -> Iterator[Record | Rejection]:
    """Yield what each row holds. Instants and dates become ISO 8601, decimals text, durations seconds.

    Raises:
        InvalidInput: the extra `parquet` is missing, the file is damaged, or a column holds bytes.
    """
    arrow, parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            _check(file.schema_arrow, arrow, path)
            first = 1
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from _records(_with_microseconds(batch, arrow), first, max_bytes)
                first += batch.num_rows
    except (arrow.ArrowException, OSError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise InvalidInput(f"{path} cannot be read as Parquet: {said}") from None


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput("reading Parquet needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _check(schema: Any, arrow: Any, path: Path) -> None:
    for field in schema:
        if schema.names.count(field.name) > 1:
            raise InvalidInput(f"{path}: two columns are called {field.name!r}; names must differ")
        if _holds_bytes(field.type, arrow.types):
            raise InvalidInput(
                f"{path}: column {field.name!r} holds bytes ({field.type}), which JSON cannot hold; "
                "convert it to text or leave it out"
            )


def _holds_bytes(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type, types)
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return is_bytes or any(_holds_bytes(kind.field(index).type, types) for index in range(kind.num_fields))


def _with_microseconds(batch: Any, arrow: Any) -> Any:
    """Return the batch with instants and times cut to microseconds, the finest that Python's hold."""
    columns = [_microseconds(column, arrow) for column in batch.columns]
    return arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _microseconds(column: Any, arrow: Any) -> Any:
    kind = column.type
    if arrow.types.is_timestamp(kind):
        # In UTC, since the zone's name may be unknown here; the instant is the same.
        return column.cast(arrow.timestamp("us", "UTC" if kind.tz else None), safe=False)
    if arrow.types.is_time64(kind):
        return column.cast(arrow.time64("us"), safe=False)
    return column.cast(arrow.duration("us"), safe=False) if arrow.types.is_duration(kind) else column


def _records(batch: Any, first: int, max_bytes: int) -> Iterator[Record | Rejection]:
    for number, row in enumerate(batch.to_pylist(), first):
        accepted = {name: _plain(value) for name, value in row.items()}
        fault = payload.find_problem(accepted, max_bytes=max_bytes)
        if fault is None:
            yield Record(number, accepted)
        else:
            yield Rejection(number, fault, payload.to_text(accepted))


def _plain(value: Any) -> Any:
    convert = _AS_JSON.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
