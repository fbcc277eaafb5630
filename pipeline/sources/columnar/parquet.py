"""Reads Parquet by record batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import Any, BinaryIO

from pipeline.domain.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
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


def read_parquet(
    file: BinaryIO, name: str, options: ReadOptions, position: FilePosition, check_columns: CheckColumns
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
    with (
        explain_errors(name, "Parquet", arrow),
        parquet.ParquetFile(file, coerce_int96_timestamp_unit="us") as opened,
    ):
        check_schema(opened.schema_arrow, arrow, options, name)
        check_columns(opened.schema_arrow.names)
        rows = 0
        for group in range(opened.num_row_groups):
            expected = opened.metadata.row_group(group).num_rows
            read = yield from _read_group(opened, group, rows, arrow, options, position)
            if read != expected:
                raise InvalidInput(f"{name} is damaged: row group {group + 1} has {read:,} rows, not {expected:,}")
            rows += read
        if rows != opened.metadata.num_rows:
            raise InvalidInput(
                f"{name} is damaged: it has {rows:,} rows, not the {opened.metadata.num_rows:,} it names"
            )


def _read_group(
    opened: Any, group: int, rows: int, arrow: Any, options: ReadOptions, position: FilePosition
) -> Generator[Record | Rejection, None, int]:
    """Yield the rows of a group from where reading goes on. Return how many the group has.

    Args:
        rows: of the groups before it.
    """
    after = position.after or InputCursor()
    if group < after.group:
        return int(opened.metadata.row_group(group).num_rows)
    skipped = after.row if group == after.group else 0
    read = 0
    for batch in opened.iter_batches(BATCH_ROWS, row_groups=[group]):
        left_out = min(max(skipped - read, 0), batch.num_rows)
        first = read + left_out
        read += batch.num_rows
        if left_out < batch.num_rows:
            kept = batch.slice(left_out)
            after_row = partial(position.after_row_of, rows, first, group)
            yield from read_batch(kept, rows + first + 1, arrow, options, position.file, after_row)
    return read
