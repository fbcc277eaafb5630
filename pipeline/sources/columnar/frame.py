"""Reads data frames of any library through the Arrow C stream: pandas, polars, Arrow tables, DuckDB relations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.columnar.record_batches import (
    BATCH_ROWS,
    check_schema,
    explain_errors,
    import_arrow,
    read_batch,
)
from pipeline.sources.read_options import ReadOptions

_NAME = "the data frame"
#: What pandas calls an index without a name.
_INDEX_PREFIX, _INDEX_SUFFIX = "__index_level_", "__"


def is_frame(given: object) -> bool:
    """Return whether something is a data frame, whatever library it is from."""
    return hasattr(given, "__arrow_c_stream__")


def read_frame(frame: Any, options: ReadOptions) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row, a record batch at a time.

    An index of pandas without a name is left out.

    Raises:
        InvalidInput: pyarrow is not installed, a column has values that JSON does not have, or two columns have the
            same name.
    """
    arrow = import_arrow("a data frame")
    with explain_errors(_NAME, "a table", arrow):
        reader = arrow.RecordBatchReader.from_stream(frame)
        names = [name for name in reader.schema.names if not _is_index(name)]
        check_schema([reader.schema.field(name) for name in names], arrow, options, _NAME)
        rows = 0
        for batch in reader:
            chosen = batch.select(names)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                part = chosen.slice(start, BATCH_ROWS)
                yield from read_batch(part, rows + start + 1, arrow, options, None, lambda _: None)
            rows += batch.num_rows


def _is_index(name: str) -> bool:
    return name.startswith(_INDEX_PREFIX) and name.endswith(_INDEX_SUFFIX)
