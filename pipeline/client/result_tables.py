"""The results of a batch as tables: of Arrow, pandas and polars."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.batches import results
from pipeline.client.result_log import ResultLog
from pipeline.client.session import Session
from pipeline.domain import bounds
from pipeline.errors import InvalidInput
from pipeline.files.result_arrow import import_arrow, result_schema, to_record_batch

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

#: Rows of one record batch, unless the caller says otherwise.
ROWS = 10_000


def record_batches(
    session: Session, row_id: int, *, rows: int = ROWS, follow: bool = False, all_ends: bool = False
) -> Iterator[pyarrow.RecordBatch]:
    """Yield the results of a batch as record batches; see `Batch.arrow_batches`."""
    return batches_of(_pages(session, row_id, follow=follow, all_ends=all_ends), rows=rows, follow=follow)


def batches_of(pages: Iterator[list[Mapping[str, Any]]], *, rows: int, follow: bool) -> Iterator[pyarrow.RecordBatch]:
    """Yield results, which come in pages, as record batches of so many rows.

    Args:
        follow: do not hold back what is there when an empty page says that nothing more comes for now.
    """
    import_arrow()
    bounds.LIMIT.check("rows", rows)
    waiting: list[Mapping[str, Any]] = []
    for page in pages:
        waiting += page
        while len(waiting) >= rows:
            yield to_record_batch(waiting[:rows])
            del waiting[:rows]
        if follow and waiting and not page:
            yield to_record_batch(waiting)
            waiting = []
    if waiting:
        yield to_record_batch(waiting)


def to_table(batches: Iterator[pyarrow.RecordBatch]) -> pyarrow.Table:
    """Return record batches of results as one table, which has all columns if there are none."""
    table: pyarrow.Table = import_arrow().Table.from_batches(batches, schema=result_schema())
    return table


def to_pandas(table: pyarrow.Table) -> pandas.DataFrame:
    """Return a table as a data frame of pandas.

    Raises:
        InvalidInput: pandas is not installed.
    """
    try:
        import pandas  # noqa: F401 - pyarrow's own error says less
    except ImportError:
        raise InvalidInput("a data frame of pandas needs pandas: pip install pandas") from None
    frame: pandas.DataFrame = table.to_pandas()
    return frame


def to_polars(table: pyarrow.Table) -> polars.DataFrame:
    """Return a table as a data frame of polars.

    Raises:
        InvalidInput: polars is not installed.
    """
    try:
        import polars
    except ImportError:
        raise InvalidInput("a data frame of polars needs polars: pip install polars") from None
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    return frame


def _pages(session: Session, row_id: int, *, follow: bool, all_ends: bool) -> Iterator[list[Mapping[str, Any]]]:
    result_log = ResultLog(session, row_id, 0, follow=follow)
    # Of replayed items only, so that memory stays flat.
    last = {} if all_ends else results.last_of_replayed(session.context, row_id)
    while not result_log.is_over:
        page = result_log.read_data()
        yield [each for each in page if each["seq"] >= last.get(each["item_id"], 0)]
        time.sleep(result_log.pause_seconds)
