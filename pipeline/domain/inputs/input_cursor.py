"""A place in an input from which reading can go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pipeline.errors import InvalidInput


class InputCursor(NamedTuple):
    """The place after a record: reading that starts here yields the next record first.

    A source uses the fields that it needs and leaves the others as they are. Only the source that made a cursor reads
    it; everyone else stores it and hands it back.

    Args:
        file: which file of the source, counted from 0 in the order in which they are read.
        line: lines before this place in the file. In a table without lines, rows.
        byte: bytes before this place in the file's text as UTF-8. In a plain file in UTF-8, these are the file's own.
        member: which member of the file, if it is an archive, counted from 0.
        group: which row group of the file, counted from 0.
        row: rows before this place in the group, or in the sheet.
        after: the value of the order column in the row before this place.
        column: characters before this place on its line.
        open_until: the last line of a row that was refused because its quote does not close; 0: there is none.
    """

    file: int = 0
    line: int = 0
    byte: int = 0
    member: int = 0
    group: int = 0
    row: int = 0
    after: str | int | None = None
    column: int = 0
    open_until: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from those at the beginning of an input, as JSON values."""
        start = InputCursor()
        return {name: value for name, value in self._asdict().items() if value != getattr(start, name)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the cursor that `to_json` made.

        Raises:
            InvalidInput: another release stored it, with fields that this one does not know.
        """
        unknown = sorted(set(stored) - set(cls._fields))
        if unknown:
            raise InvalidInput(f"the stored place in the input has the field {unknown[0]!r}, which is unknown here")
        return cls(**stored)
