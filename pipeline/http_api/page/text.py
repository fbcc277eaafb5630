"""How values are written on a page."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

#: Characters that are not seen but change what is: controls, and those that turn the text behind them around. Marks and
#: joiners that some scripts are written with stay.
_UNSEEN = (
    *range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A),
    0xFEFF,
)  # fmt: skip
_VISIBLE = {code: f"\\u{code:04x}" for code in _UNSEEN}
#: Characters of a text in a table.
_CUT = 240


def visible(value: Any) -> Any:
    """Return a value of a template with its unseen characters as JSON writes them. Every value passes here."""
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return value.translate(_VISIBLE)
    return value


def cut(value: str | None, most: int = _CUT) -> str:
    """Return the beginning of a text; a dash stands for none."""
    if not value:
        return "–"
    return value if len(value) <= most else value[: most - 1] + "…"


def segment(value: str) -> str:
    """Return a text as one part of a path."""
    return quote(value, safe="")


def time(value: datetime | None) -> Markup | str:
    """Return an instant as an element that a script turns into the reader's time zone."""
    if value is None:
        return "–"
    return Markup('<time datetime="{}" title="{}">{:%Y-%m-%d %H:%M:%S} UTC</time>').format(
        value.isoformat(), value.isoformat(), value
    )


def took(begin: datetime | None, end: datetime | None) -> str:
    """Return how long something took."""
    if begin is None or end is None:
        return "–"
    return duration((end - begin).total_seconds())


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.2g} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
