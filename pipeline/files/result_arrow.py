"""Results as record batches of Arrow, with one schema for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from pipeline.errors import InvalidInput

_NAMES = ("batch_id", "item_id", "key", "seq", "state", "label", "confidence", "classification", "enrichment")
_ERROR = ("kind", "type", "message", "stage")
_TIMINGS = ("created_at", "queued_at", "started_at", "classified_at", "finished_at")
#: Objects whose fields depend on the definition.
_JSON = frozenset({"classification", "enrichment"})


def import_arrow() -> Any:
    """Return the module `pyarrow`.

    Raises:
        InvalidInput: the extra `parquet` is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise InvalidInput("results as Arrow need pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow


@cache
def result_schema() -> Any:
    """Return the schema: the columns of a results file in CSV, with instants in UTC.

    `classification` and `enrichment` are JSON text.
    """
    arrow = import_arrow()
    text, instant = arrow.string(), arrow.timestamp("us", tz="UTC")
    numbers = {"seq": arrow.int64(), "confidence": arrow.float64()}
    fields = [(name, numbers.get(name, text)) for name in _NAMES]
    fields += [(f"error.{name}", text) for name in _ERROR]
    fields += [("attempts", arrow.int32())]
    fields += [(f"timings.{name}", instant) for name in _TIMINGS]
    return arrow.schema(fields)


def to_record_batch(results: Sequence[Mapping[str, Any]]) -> Any:
    """Return results, as callbacks have them under `data`, as a `pyarrow.RecordBatch`.

    Raises:
        InvalidInput: the extra `parquet` is not installed.
    """
    arrow, schema = import_arrow(), result_schema()
    columns: list[list[Any]] = [
        [_json(each[name]) if name in _JSON else each[name] for each in results] for name in _NAMES
    ]
    errors = [each["error"] or {} for each in results]
    columns += [[error.get(name) for error in errors] for name in _ERROR]
    columns += [[each["attempts"] for each in results]]
    columns += [[each["timings"].get(name) for each in results] for name in _TIMINGS]
    # Instants are text, which Arrow reads.
    arrays = [
        arrow.array(column, arrow.string() if arrow.types.is_timestamp(field.type) else field.type).cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
