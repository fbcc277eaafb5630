"""Finds phone numbers in a text."""

from __future__ import annotations

from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition
from pipeline.stages.enrichers.figures import FigureBlanker
from pipeline.stages.enrichers.number_context import NumberContext

#: Longest run of digits and separators, in bytes; a longer one is a table of figures.
MAX_RUN_BYTES = 120
MIN_RUN_BYTES = 7
#: Maximum number of runs examined in one text; each takes up to a millisecond.
MAX_RUNS = 100

_RUN = r"(?:(?:[(\[] ?)?\+[ (\[]{0,2}|[(\[] ?)?\p{Nd}(?:[ .\-/()\[\]—―ー]{0,4}\p{Nd})+"
# Other endings of the number before them: "12345678 / 79", "12345678 - 79". But "12345678-0" is one number.
_ENDINGS = r"((?: ?/ ?-?\d{1,2}| +- +\d{1,2}| *[—―] *\d{1,2})+)$"
_DIGITS = r"\d+"
_SEPARATORS = b" .-/()[]"
_OTHER_SIGNS = r"[^\P{Nd}0-9]|[⁄∕·‧]"
_SAME_SIGNS = {"⁄": "/", "∕": "/", "·": ".", "‧": "."}
_CONTEXT_BYTES = 12


class PhoneFinder:
    """Finds phone numbers that are valid in their country's numbering plan.

    Args:
        region: two-letter region of numbers without a country code; if None, such numbers are not found.

    Raises:
        InvalidDefinition: the region does not exist.
        ImportError: `re2` or `phonenumbers` is not installed.
    """

    def __init__(self, region: str | None) -> None:
        import phonenumbers
        import re2

        if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
            suggestion = hint(region.upper(), phonenumbers.SUPPORTED_REGIONS)
            raise InvalidDefinition(
                f"region {region!r} is unknown; write two capital letters such as 'US' or 'DE'{suggestion}"
            )
        self._region = region
        # The matcher takes as long for a number that is too short as for one that is not.
        metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(region or "US")
        self._min_digits = min(metadata.general_desc.possible_length)
        self._phonenumbers: Any = phonenumbers
        self._run, self._endings, self._digits = map(re2.compile, (_RUN, _ENDINGS, _DIGITS))
        self._other_signs = re2.compile(_OTHER_SIGNS)
        self._figures, self._context = FigureBlanker(), NumberContext()

    def find(self, text: bytes) -> tuple[str, ...]:
        """Return the numbers in `text` as E.164 (`+12125551234`), without duplicates, in order.

        `text` is UTF-8 and normalized: its spaces and hyphens are the plain ones.
        """
        runs = self._find_runs(text)
        if not runs:
            return ()
        plain = self._figures.blank_figures(self._replace_signs(text))
        if plain is not text:
            text, runs = plain, self._find_runs(plain)
        numbers: dict[str, None] = {}
        for start, end in runs[:MAX_RUNS]:
            if b"+" in text[start : start + 3] or self._is_national_number(text, start, end):
                numbers.update(dict.fromkeys(self._read_run(text, start, end)))
        return tuple(numbers)

    def _find_runs(self, text: bytes) -> list[tuple[int, int]]:
        spans = (run.span() for run in self._run.finditer(text))
        return [(start, end) for start, end in spans if MIN_RUN_BYTES <= end - start <= MAX_RUN_BYTES]

    def _is_national_number(self, text: bytes, start: int, end: int) -> bool:
        has_all_digits = len(text[start:end].translate(None, _SEPARATORS)) >= self._min_digits
        return has_all_digits and not self._context.is_other_number(text, start, end)

    def _replace_signs(self, text: bytes) -> bytes:
        """Return `text` with other slashes and dots, and the digits of other scripts, replaced by the plain ones."""
        if text.isascii() or not self._other_signs.search(text):
            return text
        chars = (str(int(char)) if char.isdecimal() else _SAME_SIGNS.get(char, char) for char in text.decode())
        return "".join(chars).encode()

    def _read_run(self, text: bytes, start: int, end: int) -> list[str]:
        """Return the numbers in a run, with a number's other endings as numbers after it."""
        # The library also considers the text around a number: times, currencies, letters.
        before = text[max(start - _CONTEXT_BYTES, 0) : start].decode("utf-8", "ignore")[-2:]
        after = text[end : end + _CONTEXT_BYTES].decode("utf-8", "ignore")
        run = text[start:end].decode()
        endings = self._endings.search(run) if "/" in run or " -" in run or "—" in run or "―" in run else None
        if endings:
            numbers = self._match(before, run[: endings.start()], "")
            if numbers:
                return numbers + self._replace_endings(numbers[-1], endings[1])
        return self._match(before, run, after)

    def _match(self, before: str, run: str, after: str) -> list[str]:
        matches = self._phonenumbers.PhoneNumberMatcher(before + run + after, self._region)
        e164 = self._phonenumbers.PhoneNumberFormat.E164
        # A match that begins after the run is another number, truncated.
        return [
            self._phonenumbers.format_number(match.number, e164)
            for match in matches
            if len(before) <= match.start < len(before) + len(run)
        ]

    def _replace_endings(self, number: str, endings: str) -> list[str]:
        candidates = [number[: -len(ending)] + ending for ending in self._digits.findall(endings)]
        return [number for number in candidates if self._phonenumbers.is_valid_number(self._phonenumbers.parse(number))]
