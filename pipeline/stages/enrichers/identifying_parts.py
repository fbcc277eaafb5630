"""The parts of a name that are never a misspelling of others: numbers, codes and initials."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

_ROMAN_NUMERALS = frozenset("ii iii iv vi vii viii ix xi xii xiii xiv xv xvi xvii xviii xix xx".split())  # noqa: SIM905


class IdentifyingParts(NamedTuple):
    """The parts that tell similar names apart, each sorted.

    Args:
        numbers: runs of digits and other numerals, and Roman numerals: "Order 10023", "第一银行", "Terminal II".
        codes: words of letters and digits: "A100".
        initials: words of one letter: "Plan B".
    """

    numbers: tuple[str, ...]
    codes: tuple[str, ...]
    initials: tuple[str, ...]

    def contradict(self, others: IdentifyingParts) -> bool:
        """Return whether two names with these parts cannot be the same, however similar they are.

        A name may be written with or without initials, and a code with or without a space.
        """
        if self.numbers != others.numbers:
            return True
        if self.codes and others.codes and self.codes != others.codes:
            return True
        return len(self.initials) == len(others.initials) and self.initials != others.initials


def read_identifying_parts(name: str) -> IdentifyingParts:
    """Read the parts of a folded name, of words separated by spaces."""
    words = name.split()
    numbers = ["".join(run) for is_numeric, run in groupby(name, str.isnumeric) if is_numeric]
    return IdentifyingParts(
        numbers=tuple(sorted([*numbers, *(word for word in words if word in _ROMAN_NUMERALS)])),
        codes=tuple(sorted(word for word in words if word.isascii() and not word.isalpha() and not word.isdigit())),
        initials=tuple(sorted(word for word in words if len(word) == 1 and word.isalpha())),
    )
