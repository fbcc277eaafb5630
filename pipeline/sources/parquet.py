"""Reads Parquet by record batches; values that JSON cannot represent become text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.arrow_values import Convert, converter, integer_type
from pipeline.sources.file_kinds import refuse_other_file

#: Rows decoded at once: enough to be fast, and few enough for wide rows to use little memory.
_BATCH_ROWS = 1_000
#: Bytes that values of rows converted at once may repeat: a file of a few hundred bytes may name a text of megabytes
#: once, and a million rows that have it.
_REPEATED_BYTES = 16 * 1024 * 1024
#: Values of a nested column that may come of each of its bytes, once there are many: one row may have billions.
_MANY_VALUES, _VALUES_PER_BYTE = 10_000_000, 100
_DICTIONARY = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}


def read_parquet(source: Path | BinaryIO, max_bytes: int, name: str) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row of a file, or of a stream that can be repositioned.

    Timestamps, dates and times become ISO 8601 text, decimals and UUIDs text, durations seconds, and maps lists of
    pairs.

    Args:
        name: of the file in messages.

    Raises:
        InvalidInput: the extra `parquet` is not installed, the file is damaged, a column contains bytes, or two columns
            have the same name.
    """
    arrow, parquet = _import_arrow()
    refuse_other_file(source, name)
    # INT96 would otherwise be read as nanoseconds, which end in 2262 and begin again in 1677.
    options = {"coerce_int96_timestamp_unit": "us"}
    with _explain_errors(name, arrow), parquet.ParquetFile(source, **options) as file:
        texts = [field.name for field in file.schema_arrow if arrow.types.is_string(field.type)]
    # Texts that a file has once for many rows stay so until a row is read.
    opened = parquet.ParquetFile(_rewound(source), read_dictionary=texts, **options)
    with _explain_errors(name, arrow), opened as file:
        for field in file.schema_arrow:
            _check_field(field, arrow.types, name)
        _check_names(file.schema_arrow, name, "columns")
        rows = 0
        for batch in file.iter_batches(_batch_rows(file.metadata, name)):
            size = _slice_rows(batch, arrow)
            for start in range(0, batch.num_rows, size):
                yield from _read_batch(batch.slice(start, size), rows + 1, arrow, max_bytes)
                rows += min(size, batch.num_rows - start)
        if rows != file.metadata.num_rows:
            raise InvalidInput(f"{name} is damaged: it has {rows:,} rows, not the {file.metadata.num_rows:,} it names")


def _rewound(source: Path | BinaryIO) -> Path | BinaryIO:
    if not isinstance(source, Path):
        source.seek(0)
    return source


def _batch_rows(metadata: Any, name: str) -> int:
    """Return how many rows to decode at once.

    Raises:
        InvalidInput: a nested column has far more values than bytes.
    """
    repeated = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        nested = [each for each in map(group.column, range(group.num_columns)) if "." in each.path_in_schema]
        for column in nested:
            values, size = column.num_values, column.total_uncompressed_size
            if values > max(_MANY_VALUES, size * _VALUES_PER_BYTE):
                raise InvalidInput(
                    f"{name}: the column {column.path_in_schema!r} makes {values:,} values of {size:,} bytes; write "
                    "smaller row groups"
                )
        texts = [each for each in nested if each.physical_type == "BYTE_ARRAY" and _DICTIONARY & {*each.encodings}]
        repeated = max(repeated, sum(column.total_uncompressed_size for column in texts))
    return max(1, min(_BATCH_ROWS, 4 * _REPEATED_BYTES // max(1, repeated)))


def _slice_rows(batch: Any, arrow: Any) -> int:
    """Return how many rows to convert at once: each may have the longest text of every column."""
    longest = 0
    for column in batch.columns:
        kind = column.type
        if arrow.types.is_dictionary(kind) and arrow.types.is_string(kind.value_type) and len(column.dictionary):
            longest += int(arrow.compute.max(arrow.compute.binary_length(column.dictionary)).as_py() or 0)
    return max(1, min(batch.num_rows, _REPEATED_BYTES // max(1, longest)))


def _import_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput("reading Parquet needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow, pyarrow.parquet


@contextmanager
def _explain_errors(name: str, arrow: Any) -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise InvalidInput(f"{name} has columns that are nested too deeply") from None
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"{name} cannot be read as Parquet: {reason}") from None


def _check_names(fields: Any, name: str, kind: str) -> None:
    counts = Counter(field.name for field in fields)
    repeated = next((each for each, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise InvalidInput(f"{name}: two {kind} are called {repeated!r}; names must differ")


def _check_field(field: Any, types: Any, name: str) -> None:
    if _contains_bytes(field.type, types):
        raise InvalidInput(
            f"{name}: column {field.name!r} contains bytes ({field.type}), which JSON cannot represent; convert it to "
            "text or remove it"
        )
    for struct in _structs(field.type, types):
        _check_names(struct, name, f"fields of column {field.name!r}")


def _contains_bytes(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        return _contains_bytes(kind.value_type, types)
    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(test(kind) for test in tests) or any(
        _contains_bytes(kind.field(index).type, types) for index in range(kind.num_fields)
    )


def _structs(kind: Any, types: Any) -> Iterator[list[Any]]:
    fields = [kind.field(index) for index in range(kind.num_fields)]
    if types.is_struct(kind):
        yield fields
    for field in fields:
        yield from _structs(field.type, types)


def _read_batch(batch: Any, first_row: int, arrow: Any, max_bytes: int) -> Iterator[Record | Rejection]:
    converters = {field.name: converter(field.type, arrow) for field in batch.schema}
    decoded = [c.dictionary_decode() if arrow.types.is_dictionary(c.type) else c for c in batch.columns]
    columns = [column.cast(integer_type(column.type, arrow)) for column in decoded]
    integers = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
    for number, row in enumerate(_to_python(integers), first_row):
        item, problem = _to_json(row, converters)
        if problem is None:
            try:
                yield Record(number, item, payload.encode_bytes(item, max_bytes=max_bytes))
                continue
            except InvalidInput as error:
                problem = str(error)
        yield Rejection(number, problem, payload.to_text(item))


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
