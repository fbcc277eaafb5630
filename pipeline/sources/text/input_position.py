"""Positions in an input."""

from __future__ import annotations

from typing import NamedTuple


class InputPosition(NamedTuple):
    """A position in an input.

    Args:
        line: counted from 1.
        column: characters before the position on its line.
        offset: bytes before the position in the whole input.
    """

    line: int = 1
    column: int = 0
    offset: int = 0

    def advance(self, text: bytes) -> InputPosition:
        """Return the position after `text`, which begins here."""
        lines = text.count(b"\n")
        last = text[text.rfind(b"\n") + 1 :]
        column = len(last.decode("utf-8", "replace"))
        return InputPosition(self.line + lines, column if lines else self.column + column, self.offset + len(text))
