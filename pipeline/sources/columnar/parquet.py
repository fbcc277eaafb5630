"""Reads Parquet by record batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.columnar.dictionary_pages import dictionary_bytes
from pipeline.sources.columnar.parquet_footer import ColumnChunk, DamagedFooter, read_chunks
from pipeline.sources.columnar.record_batches import (
    BATCH_ROWS,
    REPEATED_BYTES,
    CheckColumns,
    check_schema,
    explain_errors,
    import_arrow,
    read_batch,
)
from pipeline.sources.file_position import FilePosition
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport

#: Values of a nested column that may come of each of its bytes, once there are many: one row may have billions.
_MANY_VALUES, _VALUES_PER_BYTE = 10_000_000, 100
#: A larger dictionary is kept as one: a batch of rows may have a large text in each.
_MAX_DICTIONARY_BYTES = 2 * 1024 * 1024


def read_parquet(
    file: BinaryIO,
    name: str,
    options: ReadOptions,
    report: ReadReport,
    position: FilePosition,
    check_columns: CheckColumns,
) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row of a file.

    Args:
        file: it has `seek`.
        name: of the file in messages.
        check_columns: called with the names of the columns.

    Raises:
        InvalidInput: the extra `parquet` is not installed, the file is damaged, a column has values that JSON does not
            have, or two columns have the same name.
    """
    arrow = import_arrow("Parquet")
    from pyarrow import parquet

    # INT96 would otherwise be read as nanoseconds, which end in 2262 and begin again in 1677.
    open_file = partial(parquet.ParquetFile, file, coerce_int96_timestamp_unit="us")
    with explain_errors(name, "Parquet", arrow):
        with open_file() as opened:
            schema = opened.schema_arrow
            check_schema(schema, arrow, options, name)
            report.note("rows", opened.metadata.num_rows, "the file's footer")
            groups = opened.num_row_groups
        chunks = read_chunks(file)
        if len(chunks) != groups:
            raise DamagedFooter(f"its footer has {len(chunks):,} row groups, not {groups:,}")
        dictionaries = _measure_dictionaries(file, chunks)
        check_columns(schema.names)
        file.seek(0)
        # Texts that the file has once for many rows stay so until a row is read. Arrow keeps all texts of a row group
        # in memory for this, so that it is left alone for dictionaries that are small.
        large = {path for path, size in dictionaries.items() if size > _MAX_DICTIONARY_BYTES}
        texts = [field.name for field in schema if arrow.types.is_string(field.type) and field.name in large]
        with open_file(read_dictionary=texts) as opened:
            others = sum(size for path, size in dictionaries.items() if path not in texts)
            yield from _read_groups(opened, chunks, arrow, name, options, position, others)


def _measure_dictionaries(file: BinaryIO, groups: Sequence[Sequence[ColumnChunk]]) -> dict[str, int]:
    """Return the bytes of the largest dictionary of texts or bytes of each column, in any row group."""
    found: dict[str, int] = {}
    for chunk in chain.from_iterable(groups):
        if chunk.is_text:
            found[chunk.path] = max(found.get(chunk.path, 0), dictionary_bytes(file, chunk))
    return found


def _read_groups(
    opened: Any,
    chunks: Sequence[Sequence[ColumnChunk]],
    arrow: Any,
    name: str,
    options: ReadOptions,
    position: FilePosition,
    repeated: int,
) -> Iterator[Record | Rejection]:
    """Yield the rows of all groups.

    Args:
        chunks: of each group.
        repeated: bytes that each row may have of dictionaries.
    """
    rows = 0
    for group in range(opened.num_row_groups):
        expected = opened.metadata.row_group(group).num_rows
        size = _batch_rows(chunks[group], name, repeated)
        read = yield from _read_group(opened, group, rows, arrow, name, options, position, size)
        if read != expected:
            raise InvalidInput(f"{name} is damaged: row group {group + 1} has {read:,} rows, not {expected:,}")
        rows += read
    if rows != opened.metadata.num_rows:
        raise InvalidInput(f"{name} is damaged: it has {rows:,} rows, not the {opened.metadata.num_rows:,} it names")


def _batch_rows(chunks: Sequence[ColumnChunk], name: str, repeated: int) -> int:
    """Return how many rows of a group to decode at once.

    Args:
        repeated: bytes that each row may have of dictionaries.

    Raises:
        InvalidInput: a nested column has far more values than bytes.
    """
    for chunk in chunks:
        if "." in chunk.path and chunk.values > max(_MANY_VALUES, chunk.size * _VALUES_PER_BYTE):
            raise InvalidInput(
                f"{name}: the column {chunk.path!r} makes {chunk.values:,} values of {chunk.size:,} bytes; write "
                "smaller row groups"
            )
    return max(1, min(BATCH_ROWS, 4 * REPEATED_BYTES // max(1, repeated)))


def _read_group(
    opened: Any,
    group: int,
    rows: int,
    arrow: Any,
    name: str,
    options: ReadOptions,
    position: FilePosition,
    size: int,
) -> Generator[Record | Rejection, None, int]:
    """Yield the rows of a group from where reading goes on. Return how many the group has.

    Args:
        rows: of the groups before it.
        size: how many rows to decode at once.
    """
    after = position.after or InputCursor()
    if group < after.group:
        return int(opened.metadata.row_group(group).num_rows)
    skipped = after.row if group == after.group else 0
    read = 0
    for batch in opened.iter_batches(size, row_groups=[group]):
        left_out = min(max(skipped - read, 0), batch.num_rows)
        first = read + left_out
        read += batch.num_rows
        if left_out < batch.num_rows:
            kept = batch.slice(left_out)
            after_row = partial(position.after_row_of, rows, first, group)
            yield from read_batch(kept, rows + first + 1, arrow, options, position.file, after_row)
    return read
