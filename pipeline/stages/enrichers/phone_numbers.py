"""Phone numbers in a text."""

from __future__ import annotations

from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition
from pipeline.stages.enrichers.email_and_domains import blanked

#: Bytes a run of digits and separators may have: more is a table of figures.
LONGEST_RUN = 120
#: Runs looked at in one text; each costs up to a millisecond.
MOST_RUNS = 100

_RUN = r"(?:\+[ (]{0,2}|\()?\p{Nd}(?:[  .\-/()‐-―]{0,3}\p{Nd})+"
_DATE = (
    r"(?:^|[^\p{Nd}+])"
    r"((?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.][0-3]?\d|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)\d\d)"
    r"(?:$|\P{Nd})"
)
# What stands before a number that only looks like one to call: letters or marks without a space ("ORD-", "#") …
_GLUED = r"[\pL\p{Nd}#№_=/-]$"
# … or a word for what it counts ("invoice no. ").
_REFERENCE = (
    r"(?i)\b(?:account|acct|article|asin|case|contract|customer|ean|iban|id|imei|invoice|isbn|item|order|parcel|po|"
    r"ref|reference|serial|sku|ticket|tracking|transaction|vat)s?[\s:#.-]*(?:(?:code|id|is|no|nr|num|number)\b[\s.:#-]*){0,2}$"
)
_BEFORE_BYTES = 40
_AFTER_BYTES = 12


class Phones:
    """Finds phone numbers that exist in their country's numbering plan.

    Args:
        region: two-letter region of numbers written without a country code; None: such numbers are not found.

    Raises:
        InvalidDefinition: there is no such region.
        ImportError: `re2` or `phonenumbers` is not installed.
    """

    def __init__(self, region: str | None) -> None:
        import phonenumbers
        import re2

        if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
            near = hint(region.upper(), phonenumbers.SUPPORTED_REGIONS)
            raise InvalidDefinition(f"region {region!r} is none; write two capital letters such as 'US' or 'DE'{near}")
        self._region = region
        self._library: Any = phonenumbers
        self._run, self._date = re2.compile(_RUN), re2.compile(_DATE)
        self._glued, self._reference = re2.compile(_GLUED), re2.compile(_REFERENCE)

    def find(self, text: bytes) -> tuple[str, ...]:
        """Return the numbers in `text`, which is UTF-8, as E.164 (`+12125551234`), each once, in order."""
        text = blanked(text, [date.span(1) for date in self._date.finditer(text)])
        found: dict[str, None] = {}
        runs = (run for run in self._run.finditer(text) if 7 <= run.end() - run.start() <= LONGEST_RUN)
        for _, run in zip(range(MOST_RUNS), runs, strict=False):
            found.update(dict.fromkeys(self._in_run(text, *run.span())))
        return tuple(found)

    def _in_run(self, text: bytes, start: int, end: int) -> list[str]:
        before = text[max(start - _BEFORE_BYTES, 0) : start].decode("utf-8", "ignore")
        run = text[start:end].decode()
        has_code = run.startswith("+")
        if not has_code and (self._glued.search(before) or self._reference.search(before)):
            return []
        # The library looks at what surrounds a number too: times, currencies, letters.
        after = text[end : end + _AFTER_BYTES].decode("utf-8", "ignore")
        matches = self._library.PhoneNumberMatcher(before[-2:] + run + after, self._region)
        first = len(before[-2:])
        e164 = self._library.PhoneNumberFormat.E164
        # What begins behind the run is another number, cut.
        return [
            self._library.format_number(match.number, e164)
            for match in matches
            if first <= match.start < first + len(run)
        ]
