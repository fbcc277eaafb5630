"""What data frames of all libraries have in common."""

from __future__ import annotations

from typing import Protocol


class ArrowStream(Protocol):
    """A data frame: of pandas, polars, Arrow, DuckDB or any other library with the Arrow C stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule with the stream of its record batches."""
