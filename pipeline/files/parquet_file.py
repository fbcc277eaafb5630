"""Writes Parquet: one row per result, in row groups that bound memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Literal

import orjson

from pipeline.errors import InvalidInput

ROW_GROUP_ROWS = 10_000


_TIMINGS = "timings"
_TIMES = ("created_at", "queued_at", "started_at", "classified_at", "finished_at")


class ParquetWriter:
    """Writes rows as Parquet; objects become JSON text. The file is readable once `close` has written its footer.

    Args:
        has_instants: write `timings` as a structure of instants in UTC instead of JSON text.
        compression: of the pages.

    Raises:
        InvalidInput: the extra `parquet` is not installed.
    """

    def __init__(
        self,
        file: BinaryIO,
        columns: Sequence[str],
        *,
        has_instants: bool = False,
        compression: Literal["snappy", "zstd"] = "snappy",
    ) -> None:
        self._arrow, parquet = import_arrow("writing Parquet")
        self._numbers = {
            "seq": self._arrow.int64(), "confidence": self._arrow.float64(), "attempts": self._arrow.int32()
        }  # fmt: skip
        self._columns = columns
        self._has_instants = has_instants
        self._schema = self._arrow.schema([(name, self._type(name)) for name in columns])
        self._file = parquet.ParquetWriter(file, self._schema, compression=compression)
        self._rows: list[dict[str, Any]] = []

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append({name: self._value(name, row.get(name)) for name in self._columns})
        if len(self._rows) >= ROW_GROUP_ROWS:
            self._write_row_group()

    def flush(self) -> None:
        """Do nothing: rows can only be written in whole row groups."""

    def close(self) -> None:
        if self._rows:
            self._write_row_group()
        self._file.close()

    def _type(self, name: str) -> Any:
        if name == _TIMINGS and self._has_instants:
            instant = self._arrow.timestamp("us", tz="UTC")
            return self._arrow.struct([(each, instant) for each in _TIMES])
        return self._numbers.get(name, self._arrow.string())

    def _value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, str) or name in self._numbers:
            return value
        if name == _TIMINGS and self._has_instants:
            return {each: None if value[each] is None else datetime.fromisoformat(value[each]) for each in _TIMES}
        return orjson.dumps(value).decode()

    def _write_row_group(self) -> None:
        rows, self._rows = self._rows, []
        self._file.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))


def import_arrow(purpose: str) -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet.

    Args:
        purpose: what needs it, for the message.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput(f"{purpose} needs pyarrow: pip install 'pipeline[parquet]'") from None
    return pyarrow, pyarrow.parquet
