"""What a user says about how a text table is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

NulCharacters = Literal["refuse", "strip"]

NO_QUOTE = "none"
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a text table is written. What is None is detected.

    Args:
        delimiter: one character, or a name such as `tab`.
        quote: the character that encloses fields, or `none`: quotes are text.
        escape: the character that takes its meaning from the one behind it.
        header_row: the line of the header, counted from 1; those before it are skipped.
        has_header: whether there is one; otherwise columns are called `column_1`, `column_2`, and so on.
        comment: lines that begin with this character are counted like blank ones.
        nul: whether NUL characters are left out; otherwise they refuse their row.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header_row: int | None = None
    has_header: bool = True
    comment: str | None = None
    nul: NulCharacters = "refuse"

    def checked(self) -> Self:
        """Return the options with the delimiter as a character.

        Raises:
            InvalidInput: one of them is not one character, or two contradict each other.
        """
        delimiter = None if self.delimiter is None else _DELIMITERS.get(self.delimiter.lower(), self.delimiter)
        if delimiter is not None and len(delimiter) != 1:
            raise InvalidInput(
                f"--delimiter is {delimiter!r}{hint(delimiter, _DELIMITERS)}; give one character, or tab, space, "
                "comma, semicolon or pipe"
            )
        given = {
            "--delimiter": delimiter,
            "--quote": None if self.quote == NO_QUOTE else self.quote,
            "--escape": self.escape,
            "--comment": self.comment,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        for name, value in chosen.items():
            if len(value) != 1 or value in "\r\n\0":
                raise InvalidInput(f"{name} is {value!r}; give one character that ends no line")
        if len(set(chosen.values())) < len(chosen):
            listed = ", ".join(f"{name} {value!r}" for name, value in chosen.items())
            raise InvalidInput(f"these must be different characters: {listed}")
        if not self.has_header and self.header_row is not None:
            raise InvalidInput("--header-row has no effect with --no-header; leave one of them out")
        return replace(self, delimiter=delimiter)
