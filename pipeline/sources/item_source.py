"""What every source of items is to those who read it: files, a query and a data frame alike."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, Protocol

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection


class ReadProgress(NamedTuple):
    """How far reading has come.

    Args:
        bytes_read: of the files as they are stored, before decompression.
        bytes_total: None: not known.
    """

    bytes_read: int = 0
    bytes_total: int | None = None


class ItemSource(Protocol):
    """Items in a fixed order, read once, in constant memory."""

    @property
    def name(self) -> str:
        """Its name in messages, without credentials."""

    def describe(self) -> dict[str, Any]:
        """Return what to store of it as JSON: its names and the options that decide which items its bytes make.

        Two sources with the same description and the same fingerprint yield the same items.
        """

    def fingerprint(self) -> str | None:
        """Return text that differs if the items do; None: that cannot be known, so reading cannot go on later.

        It may read from the source. It is asked for before and after an interruption, not while items are read.
        """

    def read(self, after: InputCursor | None = None) -> Generator[Record | Rejection, None, None]:
        """Yield the items, each as a record or a rejection. Whoever stops early closes it, and files with it.

        Args:
            after: the `after` of the record to go on after; None: from the beginning. Positions go on where they were:
                a record has the same line, and yields the same cursor, whether reading was interrupted or not.

        Raises:
            InvalidInput: it cannot be read; items yielded before remain valid. `SourceChanged`: it was replaced.
            SourceUnavailable: it cannot be read for now.
        """

    def progress(self) -> ReadProgress:
        """Return how far `read` has come; another thread may ask."""
