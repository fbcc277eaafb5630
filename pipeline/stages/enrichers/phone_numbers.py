"""Finds phone numbers in a text."""

from __future__ import annotations

from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition
from pipeline.stages.enrichers.email_and_domains import blank_out

#: Longest run of digits and separators, in bytes; a longer one is a table of figures.
MAX_RUN_BYTES = 120
#: Maximum number of runs examined in one text; each takes up to a millisecond.
MAX_RUNS = 100

_RUN = r"(?:\+[ (]{0,2}|\()?\p{Nd}(?:[  .\-/()‐-―]{0,3}\p{Nd})+"
_DATE = (
    r"(?:^|[^\p{Nd}+])"
    r"((?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.][0-3]?\d|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)\d\d)"
    r"(?:$|\P{Nd})"
)
# Text before a number that is not a phone number: letters or marks without a space in between ("ORD-", "#") …
_PREFIX = r"[\pL\p{Nd}#№_=/-]$"
# … or a word that says what the number is ("invoice no. ").
_REFERENCE = (
    r"(?i)\b(?:account|acct|article|asin|case|contract|customer|ean|iban|id|imei|invoice|isbn|item|order|parcel|po|"
    r"ref|reference|serial|sku|ticket|tracking|transaction|vat)s?[\s:#.-]*(?:(?:code|id|is|no|nr|num|number)\b[\s.:#-]*){0,2}$"
)
_BEFORE_BYTES = 40
_AFTER_BYTES = 12


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
        self._phonenumbers: Any = phonenumbers
        self._run, self._date = re2.compile(_RUN), re2.compile(_DATE)
        self._prefix, self._reference = re2.compile(_PREFIX), re2.compile(_REFERENCE)

    def find(self, text: bytes) -> tuple[str, ...]:
        """Return the numbers in `text`, which is UTF-8, as E.164 (`+12125551234`), without duplicates, in order."""
        text = blank_out(text, [date.span(1) for date in self._date.finditer(text)])
        numbers: dict[str, None] = {}
        runs = (run for run in self._run.finditer(text) if 7 <= run.end() - run.start() <= MAX_RUN_BYTES)
        for _, run in zip(range(MAX_RUNS), runs, strict=False):
            numbers.update(dict.fromkeys(self._find_in_run(text, *run.span())))
        return tuple(numbers)

    def _find_in_run(self, text: bytes, start: int, end: int) -> list[str]:
        before = text[max(start - _BEFORE_BYTES, 0) : start].decode("utf-8", "ignore")
        run = text[start:end].decode()
        has_country_code = run.startswith("+")
        if not has_country_code and (self._prefix.search(before) or self._reference.search(before)):
            return []
        # The library also considers the text around a number: times, currencies, letters.
        after = text[end : end + _AFTER_BYTES].decode("utf-8", "ignore")
        matches = self._phonenumbers.PhoneNumberMatcher(before[-2:] + run + after, self._region)
        run_start = len(before[-2:])
        e164 = self._phonenumbers.PhoneNumberFormat.E164
        # A match that begins after the run is another number, truncated.
        return [
            self._phonenumbers.format_number(match.number, e164)
            for match in matches
            if run_start <= match.start < run_start + len(run)
        ]
