"""Parquet: one row a result, in row groups that keep memory flat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

from pipeline.errors import InvalidInput

ROW_GROUP_ROWS = 10_000

_JSON = ("classification", "enrichment", "error", "timings")
_COLUMNS = (
    *("batch_id", "item_id", "key", "seq", "state", "label", "confidence"),
    *("classification", "enrichment", "error", "attempts", "timings"),
)


class ParquetWriter:
    """Writes results as Parquet; objects are JSON text. The file is readable once `close` has written its footer.

    Raises:
        InvalidInput: the extra `parquet` is missing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._arrow, parquet = _arrow()
        self._schema = _schema(self._arrow)
        self._file = parquet.ParquetWriter(file, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, result: Mapping[str, Any]) -> None:
        self._rows.append({**result, **{name: _json(result.get(name)) for name in _JSON}})
        if len(self._rows) >= ROW_GROUP_ROWS:
            self._write_group()

    def flush(self) -> None:
        """Does nothing: rows are written by whole groups."""

    def close(self) -> None:
        if self._rows:
            self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        rows, self._rows = self._rows, []
        self._file.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput("writing Parquet needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _schema(arrow: Any) -> Any:
    others = {"seq": arrow.int64(), "confidence": arrow.float64(), "attempts": arrow.int32()}
    return arrow.schema([(name, others.get(name, arrow.string())) for name in _COLUMNS])


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
