"""Where in an input something begins."""

from __future__ import annotations

from typing import NamedTuple


class InputPosition(NamedTuple):
    """A line from 1, the characters before it on that line, the bytes before it in the whole input."""

    line: int = 1
    column: int = 0
    offset: int = 0

    def after(self, text: bytes) -> InputPosition:
        """Return the place that follows `text`."""
        lines = text.count(b"\n")
        last = text[text.rfind(b"\n") + 1 :]
        column = len(last.decode("utf-8", "replace"))
        return InputPosition(self.line + lines, column if lines else self.column + column, self.offset + len(text))
