"""What the files of one source must have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.domain.did_you_mean import quote_name
from pipeline.errors import InvalidInput
from pipeline.sources.format import InputFormat


class Agreement:
    """The format and the columns of the first file, which the others must have as well."""

    def __init__(self) -> None:
        self._format: tuple[str, InputFormat] | None = None
        self._columns: tuple[str, frozenset[str]] | None = None

    def check_format(self, name: str, format: InputFormat) -> None:
        """Check the format of a file.

        Raises:
            InvalidInput: the first file has another.
        """
        first, expected = self._format = self._format or (name, format)
        if format is not expected:
            raise InvalidInput(
                f"{name} is {format}, but {first} is {expected}; the files of one batch must have the same format"
            )

    def check_columns(self, name: str, columns: Sequence[str]) -> None:
        """Check the columns of a file, which may have another order.

        Raises:
            InvalidInput: the first file has others.
        """
        first, expected = self._columns = self._columns or (name, frozenset(columns))
        given = frozenset(columns)
        if given == expected:
            return
        missing = sorted(expected - given)
        if missing:
            raise InvalidInput(f"{name} has no column {quote_name(missing[0])} that {first} has")
        raise InvalidInput(f"{name} has a column {quote_name(sorted(given - expected)[0])} that {first} does not have")
