"""Plan the next parts of an export: decide a range of the log, and store it before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import orjson
from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.event import cut_data
from pipeline.domain.urls.export_target import ExportOptions
from pipeline.errors import TargetConflict
from pipeline.exports.rules.part_names import part_name, partition_value
from pipeline.exports.rules.part_range import OpenRange
from pipeline.exports.sql import event_log
from pipeline.exports.sql.event_log import LoggedResult

#: Events whose sizes are read at a time, and results.
_SIZES, _RESULTS = 10_000, 2_000
#: Parts of one range, at most: an object for each value.
MAX_PARTITIONS = 1_000


def measure(connection: Connection, row: Row, range_: OpenRange, options: ExportOptions, now: datetime) -> bool:
    """Go on measuring a range of an export's log. Return whether it is closed: what it holds can become parts.

    Args:
        row: the export's row, read in the same transaction: if its batch was complete, so is the log.
    """
    # Also when it was full before: the transaction that was to plan it may have failed.
    while not range_.is_full(options):
        found = event_log.find_sizes(
            connection, row["batch_id"], range_.last_seq, limit=_SIZES, with_payload=options.with_payload
        )
        is_full = any(range_.add(entry, options) for entry in found)
        if not is_full and len(found) < _SIZES:
            break
    else:
        return True
    is_over = row["batch_completed_at"] is not None and range_.last_seq >= range_.first_seq
    return is_over or range_.is_due(options, now)


def plan(context: Context, row: Row, range_: OpenRange, options: ExportOptions, check: Callable[[], None]) -> list[Row]:
    """Return the parts that a closed range becomes; none, if it has no results.

    Args:
        check: called between pages; raises to end the work.

    Raises:
        TargetConflict: there are too many values to partition by.
    """
    if not range_.rows:
        return []
    first, last = range_.first_seq, range_.last_seq
    values = [None] if options.partition is None else _values(context, row, range_, options, check)
    return [
        {
            "first_seq": first,
            "last_seq": last,
            "partition": value,
            "name": part_name(first, last, options.format, options.partition, value),
        }
        for value in values
    ]


def read_results(
    context: Context, row: Row, first_seq: int, last_seq: int, *, with_payload: bool, check: Callable[[], None]
) -> Iterator[list[LoggedResult]]:
    """Yield the results of a range of an export's log in pages. They never change, so each page is a transaction."""
    after = first_seq - 1
    while True:
        check()
        with context.database.read() as connection:
            found = event_log.find_results(
                connection, row["batch_id"], after, last_seq, limit=_RESULTS, with_payload=with_payload
            )
        if not found:
            return
        yield found
        after = found[-1].seq


def _values(
    context: Context, row: Row, range_: OpenRange, options: ExportOptions, check: Callable[[], None]
) -> list[str | None]:
    assert options.partition is not None
    values: dict[str | None, None] = {}
    pages = read_results(context, row, range_.first_seq, range_.last_seq, with_payload=False, check=check)
    for page in pages:
        for result in page:
            values[partition_value(options.partition, orjson.loads(cut_data(result.body)))] = None
        if len(values) > MAX_PARTITIONS:
            raise TargetConflict(
                f"partition={options.partition}: the results have more than {MAX_PARTITIONS:,} values; partition by "
                "state or date, or not at all"
            )
    return sorted(values, key=lambda value: (value is None, value or ""))
