"""Reads Arrow IPC, as files (also called Feather) and as streams, by record batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection
from pipeline.sources.columnar.record_batches import (
    BATCH_ROWS,
    CheckColumns,
    check_schema,
    explain_errors,
    import_arrow,
    read_batch,
)
from pipeline.sources.file_position import FilePosition
from pipeline.sources.read_options import ReadOptions


def read_arrow(
    file: BinaryIO,
    name: str,
    options: ReadOptions,
    position: FilePosition,
    check_columns: CheckColumns,
    *,
    is_stream: bool,
) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row.

    Args:
        file: it has `seek`, unless `is_stream`.
        name: of the file in messages.
        check_columns: called with the names of the columns.

    Raises:
        InvalidInput: the extra `parquet` is not installed, the file is damaged, a column has values that JSON does not
            have, or two columns have the same name.
    """
    arrow = import_arrow("Arrow")

    with explain_errors(name, "Arrow", arrow):
        reader = arrow.ipc.open_stream(file) if is_stream else arrow.ipc.open_file(file)
        check_schema(reader.schema, arrow, options, name)
        check_columns(reader.schema.names)
        after = position.after or InputCursor()
        rows = 0
        for group, batch in enumerate(_batches(reader, is_stream)):
            # Every batch is read even to be skipped: a file does not say how many rows one has.
            skipped = batch.num_rows if group < after.group else after.row if group == after.group else 0
            yield from _read_slices(batch, group, rows, skipped, arrow, options, position)
            rows += batch.num_rows


def _batches(reader: Any, is_stream: bool) -> Iterator[Any]:
    if is_stream:
        yield from reader
    else:
        yield from map(reader.get_batch, range(reader.num_record_batches))


def _read_slices(
    batch: Any, group: int, rows: int, skipped: int, arrow: Any, options: ReadOptions, position: FilePosition
) -> Iterator[Record | Rejection]:
    """Yield the rows of a batch, which may be all of the file, a slice at a time."""
    for first in range(skipped, batch.num_rows, BATCH_ROWS):
        after_row = partial(position.after_row_of, rows, first, group)
        part = batch.slice(first, BATCH_ROWS)
        yield from read_batch(part, rows + first + 1, arrow, options, position.file, after_row)
