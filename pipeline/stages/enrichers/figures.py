"""Figures that have the digits of a phone number and the form of something else: dates, amounts, cards, coordinates."""

from __future__ import annotations

from typing import Any

from pipeline.stages.enrichers.hosts import blank_out

_DAY_OR_MONTH = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
# Years of other calendars: Persian, Islamic, Buddhist.
_ANY_YEAR = r"(?:1[349]|2[05])\d\d"
# One end of a range: 03.07, 17.07.15, 3/10/2011, 03/2015, 02-12-55 or 08.30.
_DATE_IN_RANGE = (
    rf"(?:{_DAY_OR_MONTH}[./]{_DAY_OR_MONTH}(?:[./](?:\d\d)?\d\d)?|{_MONTH}[./-]{_YEAR}|\d\d?-\d\d?-(?:\d\d)?\d\d|"
    rf"{_ANY_YEAR}[./-]{_MONTH}(?:[./-]\d\d?)?|{_YEAR}/\d\d|[0-2]?\d\.[0-5]\d)"
)
_KINDS = (
    # Ranges of dates and times, then of years.
    rf"{_DATE_IN_RANGE}\.? ?[-—―] ?{_DATE_IN_RANGE}",
    rf"{_YEAR} ?[-—―] ?{_MONTH}[./]{_YEAR}",
    rf"{_YEAR} ?[-/] ?(?:{_YEAR}|\d\d)",
    # With hyphens inside, only spaces tell a range from a phone number: 03-07 - 17-07-15, 01-02-03-04-05.
    rf"{_DAY_OR_MONTH}-{_DAY_OR_MONTH} [-—―] {_DAY_OR_MONTH}-{_DAY_OR_MONTH}(?:-(?:\d\d)?\d\d)?",
    rf"{_DAY_OR_MONTH}\. ?[/-] ?{_DAY_OR_MONTH}\.{_MONTH}\.(?:\d\d)?\d\d",
    # A date, with or without a time.
    rf"{_ANY_YEAR}[-/.]{_MONTH}[-/.][0-3]?\d(?:[T _-][0-2]\d[-:.]?[0-5]\d(?:[-:.]?[0-5]\d(?:[.,]\d+)?)?)?",
    rf"[0-3]?\d[-/.][0-3]?\d[-/.]{_ANY_YEAR}",
    rf"{_DAY_OR_MONTH}[./]{_MONTH}[./]\d\d",
    rf"{_MONTH}[./]{_DAY_OR_MONTH}[./]\d\d",
    rf"{_YEAR}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])[-T_ ]?\d{{4}}(?:\d\d)?",
    r"[0-2]?\d:[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?",
    # Amounts with decimals.
    r"\d{1,3}(?:[. ']\d{3})+,\d\d?",
    r"\d{7,}\.\d\d",
    # Coordinates, and other fractions that are too precise for anything else.
    r"\d{1,3}\.\d{4,}[°,; ]{1,3}-?\d{1,3}\.\d{4,}",
    r"\d\d?\.\d{6,}",
    # Payment cards; ISBN-13.
    r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{3})?",
    r"3[47]\d\d[ -]\d{6}[ -]\d{5}",
    r"97[89]-\d{1,5}-\d{1,7}-\d{1,7}-\d",
    # Numbers of persons and companies: CPF and CNPJ of Brazil, SSN of the United States, AHV of Switzerland.
    r"\d{3}\.\d{3}\.\d{3}-\d\d",
    r"\d\d\.\d{3}\.\d{3}/\d{4}-\d\d",
    r"\d{3}-\d\d-\d{4}",
    r"756\.\d{4}\.\d{4}\.\d\d",
    # Registered letters and parcels; versions of browsers and systems.
    r"[A-Z]{2} ?\d{3} ?\d{3} ?\d{3} ?[A-Z]{2}",
    r"\d{1,3}\.\d{1,2}\.\d{4,6}\.\d{1,5}",
    # Results of sets and games.
    r"\d\d?-\d\d?(?:[ ,;]{1,2}\d\d?-\d\d?){2,}",
)
_FIGURE = rf"\b(?:{'|'.join(_KINDS)})\b"
_CONTINUED = r"[./-]?\d"


class FigureBlanker:
    """Removes figures that are no phone numbers from a text.

    Raises:
        ImportError: `re2` is not installed.
    """

    def __init__(self) -> None:
        import re2

        self._figure, self._continued = re2.compile(_FIGURE), re2.compile(_CONTINUED)

    def blank_figures(self, text: bytes) -> bytes:
        """Return `text` with such figures replaced by spaces, so that all positions stay the same."""
        return blank_out(
            text, [figure.span() for figure in self._figure.finditer(text) if self._stands_alone(text, figure)]
        )

    def _stands_alone(self, text: bytes, figure: Any) -> bool:
        start, end = figure.span()
        # Part of a longer number, such as 06.12.34.56.78.
        return text[max(start - 1, 0) : start] not in (b"+", b".", b"/", b"-") and not self._continued.match(text, end)
