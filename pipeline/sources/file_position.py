"""Which file of a source is being read, and where to go on in it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.domain.inputs.input_cursor import InputCursor


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Which file of a source is being read, and where to go on in it.

    Args:
        number: of the file, counted from 0.
        member: of the file, if it is an archive, counted from 0.
        file: its name in records and rejections, if the source has several.
        after: where to go on in this file; None: at its beginning.
        can_resume: whether records tell where to go on after them.
    """

    number: int = 0
    member: int = 0
    file: str | None = None
    after: InputCursor | None = None
    can_resume: bool = False

    def after_line(self, line: int, byte: int, *, column: int = 0, open_until: int = 0) -> InputCursor | None:
        """Return the cursor in a text after `line` lines and `byte` bytes."""
        if not self.can_resume:
            return None
        return InputCursor(self.number, line, byte, self.member, column=column, open_until=open_until)

    def after_row(self, line: int, row: int, group: int = 0) -> InputCursor | None:
        """Return the cursor in a table of rows, after `line` of them in all and `row` of them in a group."""
        if not self.can_resume:
            return None
        return InputCursor(self.number, line, 0, self.member, group, row)

    def after_row_of(self, rows: int, first: int, group: int, number: int) -> InputCursor | None:
        """Return the cursor after row `number` of a batch, after `first` rows of its group and `rows` others."""
        return self.after_row(rows + first + number, first + number, group)
