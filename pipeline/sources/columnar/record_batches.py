"""Reads record batches of Arrow row by row; values that JSON cannot represent become text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from pipeline.domain import payload
from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection, UnreadRecord
from pipeline.errors import InvalidInput
from pipeline.sources.columnar.arrow_values import Convert, ValueOptions, converter, integer_type, is_bytes
from pipeline.sources.read_options import ReadOptions

#: Rows decoded at once: enough to be fast, and few enough for wide rows to use little memory.
BATCH_ROWS = 1_000
#: Bytes that values of rows converted at once may repeat: a file of a few hundred bytes may name a text of megabytes
#: once, and a million rows that have it.
REPEATED_BYTES = 16 * 1024 * 1024

CheckColumns = Callable[[Sequence[str]], object]
#: Returns where to go on after a row, given how many of the batch's rows are before it, and it.
AfterRow = Callable[[int], InputCursor | None]


def import_arrow(format: str) -> Any:
    """Return the module `pyarrow`.

    Raises:
        InvalidInput: the extra `parquet` is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise InvalidInput(f"reading {format} needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow


@contextmanager
def explain_errors(name: str, format: str, arrow: Any) -> Iterator[None]:
    """Explain what Arrow says of a file that it cannot read."""
    try:
        yield
    except RecursionError:
        raise InvalidInput(f"{name} has columns that are nested too deeply") from None
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"{name} cannot be read as {format}: {reason}") from None


def check_schema(schema: Any, arrow: Any, options: ReadOptions, name: str) -> None:
    """Check that every column can be read.

    Raises:
        InvalidInput: two columns have the same name, or one has values that JSON does not have.
    """
    for field in schema:
        _check_field(field, arrow.types, options, name)
    _check_names(schema, name, "columns")


def read_batch(
    batch: Any, first_row: int, arrow: Any, options: ReadOptions, file: str | None, after_row: AfterRow
) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row of a batch.

    Args:
        first_row: its number, counted from 1.
        file: its name in records.
        after_row: returns where to go on after one of its rows, counted from 1.
    """
    size = _slice_rows(batch, arrow)
    for start in range(0, batch.num_rows, size):
        after_row_of = partial(_after_row_of, after_row, start)
        yield from _read_slice(batch.slice(start, size), first_row + start, arrow, options, file, after_row_of)


def _after_row_of(after_row: AfterRow, start: int, number: int) -> InputCursor | None:
    return after_row(start + number)


def _slice_rows(batch: Any, arrow: Any) -> int:
    """Return how many rows to convert at once: each may have the longest text of every column."""
    longest, rows = 0, int(batch.num_rows)
    for column in batch.columns:
        kind = column.type
        if arrow.types.is_dictionary(kind) and arrow.types.is_string(kind.value_type) and len(column.dictionary):
            longest += int(arrow.compute.max(arrow.compute.binary_length(column.dictionary)).as_py() or 0)
    return max(1, min(rows, REPEATED_BYTES // max(1, longest)))


def _read_slice(
    batch: Any, first_row: int, arrow: Any, options: ReadOptions, file: str | None, after_row: AfterRow
) -> Iterator[Record | Rejection]:
    values = ValueOptions(options.binary, options.nan)
    decoded = [(field.name, _decoded(column, arrow)) for field, column in zip(batch.schema, batch.columns, strict=True)]
    converters = {name: converter(column.type, arrow, values) for name, column in decoded}
    columns = [column.cast(integer_type(column.type, arrow)) for _, column in decoded]
    integers = arrow.RecordBatch.from_arrays(columns, names=[name for name, _ in decoded])
    for number, row in enumerate(_to_python(integers), 1):
        item, problem = _to_json(row, converters)
        line, after = first_row + number - 1, after_row(number)
        if problem is None:
            try:
                yield Record(line, item, payload.encode_bytes(item, max_bytes=options.max_bytes), file, after)
                continue
            except InvalidInput as error:
                problem = str(error)
        yield UnreadRecord(line, problem.replace(_USE_NULL, _NAN_OPTION), payload.to_text(item), file, after)


def _decoded(column: Any, arrow: Any) -> Any:
    if arrow.types.is_run_end_encoded(column.type):
        return arrow.compute.run_end_decode(column)
    # Faster to read than the entries of a dictionary.
    return column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column


_USE_NULL = "neither NaN nor infinity; use null"
_NAN_OPTION = "neither NaN nor infinity; --nan null stores null"


def _check_names(fields: Any, name: str, kind: str) -> None:
    counts = Counter(field.name for field in fields)
    repeated = next((each for each, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise InvalidInput(f"{name}: two {kind} are called {repeated!r}; names must differ")


def _check_field(field: Any, types: Any, options: ReadOptions, name: str) -> None:
    kinds = list(_kinds(field.type, types))
    where = f"{name}: column {field.name!r}"
    if options.binary == "refuse" and any(is_bytes(kind, types) for kind in kinds):
        raise InvalidInput(
            f"{where} contains bytes ({field.type}), which JSON cannot represent; --binary utf8 reads them as text, "
            "--binary base64 encodes them"
        )
    for kind in kinds:
        if types.is_map(kind) and not (types.is_string(kind.key_type) or types.is_large_string(kind.key_type)):
            raise InvalidInput(f"{where} contains a map whose keys are {kind.key_type}; JSON has only text as keys")
        if types.is_struct(kind):
            _check_names(
                [kind.field(index) for index in range(kind.num_fields)], name, f"fields of column {field.name!r}"
            )
    if any(map(types.is_union, kinds)) or any(map(types.is_interval, kinds)) or not _can_cast(kinds, types):
        raise InvalidInput(f"{where} is of type {field.type}, which has no form in JSON; convert it, or remove it")


def _can_cast(kinds: list[Any], types: Any) -> bool:
    """Return whether Arrow can decode run-ends, which must not be in another type, and instants inside of lists.

    Arrow makes invalid arrays of list views that it casts.
    """
    has_views = any(types.is_list_view(kind) or types.is_large_list_view(kind) for kind in kinds)
    return not any(map(types.is_run_end_encoded, kinds[1:])) and not (has_views and any(map(types.is_temporal, kinds)))


def _kinds(kind: Any, types: Any) -> Iterator[Any]:
    """Yield a type and all types in it."""
    yield kind
    if types.is_dictionary(kind):
        yield from _kinds(kind.value_type, types)
    for index in range(kind.num_fields):
        yield from _kinds(kind.field(index).type, types)


def _to_python(batch: Any) -> list[dict[str, Any]]:
    """Return the rows; a value that cannot be read, such as invalid UTF-8, is an exception in its place."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except ValueError:
        columns = tuple(zip(batch.schema.names, batch.columns, strict=True))
        return [{name: _read_value(column, number) for name, column in columns} for number in range(batch.num_rows)]
    return rows


def _read_value(column: Any, number: int) -> Any:
    try:
        return column[number].as_py()
    except ValueError as error:
        return error


def _to_json(row: dict[str, Any], converters: dict[str, Convert | None]) -> tuple[dict[str, Any], str | None]:
    """Return a row as JSON, and why it cannot be one; the faulty value is left as it is."""
    item, problem = row, None
    for name, convert in converters.items():
        value = row[name]
        if isinstance(value, ValueError):
            problem = problem or f"column {name!r} cannot be read: {value}"
        elif convert is not None:
            try:
                item[name] = convert(value)
            except InvalidInput as error:
                problem = problem or f"column {name!r} holds {error}"
    return item, problem
