"""The header of a text table: the names of its columns, and how a row becomes an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.domain.did_you_mean import quote_name
from pipeline.errors import InvalidInput

#: Names listed in one message.
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """What to do about a header that repeats a name or lacks one.

    Args:
        lenient: call the tenth column `column_10` if it has no name; otherwise such a column must be empty.
        strict: refuse a header that has a name twice; otherwise the second `Label` becomes `Label_2`.
        unique: names that must not be repeated in any case, because they are referred to.
    """

    lenient: bool = False
    strict: bool = False
    unique: frozenset[str] = frozenset()


class Header:
    """The columns of a table.

    Args:
        fields: the fields of the header row.
        rules: what to do about repeated and missing names.
        warn: called with a message about repeated names.

    Raises:
        InvalidInput: a name is repeated that must not be.
    """

    def __init__(self, fields: Sequence[str], rules: HeaderRules, warn: Callable[[str], object]) -> None:
        names = self._fields = [field.strip() for field in fields]
        if rules.lenient:
            names = [name or f"column_{number}" for number, name in enumerate(names, 1)]
        #: Names by column; empty: the column has none and must be empty.
        self._names = distinct_names(names, rules, warn)
        self._nameless = [column for column, name in enumerate(self._names) if not name]
        # A row may end before the nameless columns at the end.
        self._min_width = max(column for column, name in enumerate(self._names, 1) if name)

    @property
    def columns(self) -> list[str]:
        """The names of the columns that have one."""
        return [name for name in self._names if name]

    def to_item(self, row: list[str]) -> dict[str, str]:
        """Return a row as an object.

        Raises:
            InvalidInput: it has another number of fields, a value in a column without a name, or is the header again.
        """
        names = self._names
        if len(row) != len(names) and not self._min_width <= len(row) < len(names):
            raise InvalidInput(self._explain_width(row))
        if row[0].strip() == self._fields[0] and self._repeats_header(row):
            raise InvalidInput("the header again, as between files that were concatenated; remove this line")
        item = dict(zip(names, row, strict=False))
        if self._nameless:
            self._check_nameless(row)
            item.pop("", None)
        return item

    def to_typed_item(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return a row whose values have types as an object; what is missing at its end is null.

        Raises:
            InvalidInput: it has a value in a column without a name, or is the header again.
        """
        names = self._names
        values = [*row[: len(names)], *[None] * (len(names) - len(row))]
        texts = ["" if value is None else str(value) for value in row]
        if len(names) > 1 and self._repeats_header(texts):
            raise InvalidInput("the header again, as between tables that were put together; remove this row")
        item = dict(zip(names, values, strict=True))
        self._check_nameless(texts)
        beyond = next((column for column, text in enumerate(texts[len(names) :], len(names) + 1) if text.strip()), None)
        if beyond is not None:
            raise InvalidInput(f"a value in column {beyond}, where the header has {len(names)}")
        item.pop("", None)
        return item

    def _repeats_header(self, row: list[str]) -> bool:
        """Return whether a row is the header; a single column may hold its own name as a value."""
        return len(row) > 1 and [field.strip() for field in row] == self._fields

    def _explain_width(self, row: list[str]) -> str:
        fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
        hint = "; a field that contains the delimiter needs quotes" if len(row) > len(self._names) else ""
        return f"{fields} where the header has {len(self._names)}{hint}"

    def _check_nameless(self, row: list[str]) -> None:
        for column in self._nameless:
            if column < len(row) and row[column].strip():
                raise InvalidInput(
                    f"a value in column {column + 1}, which has no name; name it, or call it column_{column + 1} with "
                    "--header lenient"
                )


def distinct_names(names: list[str], rules: HeaderRules, warn: Callable[[str], object]) -> list[str]:
    """Return the names of columns with repeated ones numbered.

    Args:
        warn: called with a message if there are some.

    Raises:
        InvalidInput: a name is repeated that must not be.
    """
    counts = Counter(name for name in names if name)
    repeated = [name for name, count in counts.items() if count > 1]
    for name in repeated:
        if rules.strict or name in rules.unique:
            reason = "" if rules.strict else ", and the definition or an option refers to it"
            raise InvalidInput(f"the header has {quote_name(name)} twice{reason}; names must differ")
    if not repeated:
        return names
    renamed = _number_repeated(names, counts)
    listed = [f"{quote_name(name)} ({counts[name]} times)" for name in repeated[:_MAX_LISTED]]
    more = f" and {len(repeated) - _MAX_LISTED} more" if len(repeated) > _MAX_LISTED else ""
    example = next(quote_name(new) for old, new in zip(names, renamed, strict=True) if old != new)
    warn(
        f"the header repeats {', '.join(listed)}{more}; the repeated columns are numbered, such as {example}. "
        "--strict refuses this"
    )
    return renamed


def _number_repeated(names: list[str], counts: Counter[str]) -> list[str]:
    """Return the names with the second `a` as `a_2`, or the next number that is free."""
    taken = set(counts)
    numbers: dict[str, int] = {}
    result = []
    for name in names:
        new = name
        if name in numbers:
            while new in taken:
                numbers[name] += 1
                new = f"{name}_{numbers[name]}"
            taken.add(new)
        elif name:
            numbers[name] = 1
        result.append(new)
    return result
