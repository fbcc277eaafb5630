"""Writes Parquet: one row per result, in row groups that bound memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

from pipeline.errors import InvalidInput

ROW_GROUP_ROWS = 10_000

_JSON_COLUMNS = ("classification", "enrichment", "error", "timings")
_COLUMNS = (
    *("batch_id", "item_id", "key", "seq", "state", "label", "confidence"),
    *("classification", "enrichment", "error", "attempts", "timings"),
)


class ParquetWriter:
    """Writes results as Parquet; objects become JSON text. The file is readable once `close` has written its footer.

    Raises:
        InvalidInput: the extra `parquet` is not installed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._arrow, parquet = _import_arrow()
        self._schema = _build_schema(self._arrow)
        self._file = parquet.ParquetWriter(file, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, result: Mapping[str, Any]) -> None:
        self._rows.append({**result, **{name: _to_json(result.get(name)) for name in _JSON_COLUMNS}})
        if len(self._rows) >= ROW_GROUP_ROWS:
            self._write_row_group()

    def flush(self) -> None:
        """Do nothing: rows can only be written in whole row groups."""

    def close(self) -> None:
        if self._rows:
            self._write_row_group()
        self._file.close()

    def _write_row_group(self) -> None:
        rows, self._rows = self._rows, []
        self._file.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))


def _import_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput("writing Parquet needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _build_schema(arrow: Any) -> Any:
    number_types = {"seq": arrow.int64(), "confidence": arrow.float64(), "attempts": arrow.int32()}
    return arrow.schema([(name, number_types.get(name, arrow.string())) for name in _COLUMNS])


def _to_json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
