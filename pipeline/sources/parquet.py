"""Reads Parquet by record batches; values that JSON cannot represent become text."""

from __future__ import annotations

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
    with _explain_errors(name, arrow), parquet.ParquetFile(source, coerce_int96_timestamp_unit="us") as file:
        # INT96 would otherwise be read as nanoseconds, which end in 2262 and begin again in 1677.
        for field in file.schema_arrow:
            _check_field(field, arrow.types, name)
        _check_names(file.schema_arrow, name, "columns")
        rows = 0
        for batch in file.iter_batches(_BATCH_ROWS):
            yield from _read_batch(batch, rows + 1, arrow, max_bytes)
            rows += batch.num_rows
        if rows != file.metadata.num_rows:
            raise InvalidInput(f"{name} is damaged: it has {rows:,} rows, not the {file.metadata.num_rows:,} it names")


def _import_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
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
    names = [field.name for field in fields]
    repeated = next((each for each in names if names.count(each) > 1), None)
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
    columns = [column.cast(integer_type(column.type, arrow)) for column in batch.columns]
    integers = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
    for number, row in enumerate(_to_python(integers), first_row):
        item, problem = _to_json(row, converters)
        problem = problem or payload.find_problem(item, max_bytes=max_bytes)
        if problem is None:
            yield Record(number, item)
        else:
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
