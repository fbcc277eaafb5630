"""Ids of entries of Redis streams as offsets that sort as text."""

from __future__ import annotations

from pipeline.errors import InvalidInput

_DIGITS = 20
_MOST = 2**64 - 1
#: Below every entry.
FIRST = f"{0:0{_DIGITS}}-{0:0{_DIGITS}}"


def to_offset(entry_id: str) -> str:
    """Return `ms-n` so that it sorts as text.

    Raises:
        InvalidInput: it is no id.
    """
    milliseconds, _, number = entry_id.partition("-")
    parts = milliseconds, number or "0"
    if not all(part.isascii() and part.isdecimal() and int(part) <= _MOST for part in parts):
        raise InvalidInput(f"{entry_id!r} is no id of an entry; write one such as 1718000000000-0")
    return "-".join(f"{int(part):0{_DIGITS}}" for part in parts)


def offset_after(entry_id: str) -> str:
    """Return the lowest offset above an entry."""
    milliseconds, number = map(int, to_offset(entry_id).split("-"))
    following = (milliseconds, number + 1) if number < _MOST else (milliseconds + 1, 0)
    return to_offset("-".join(map(str, following)))


def id_before(offset: str) -> str:
    """Return the id of the highest entry below an offset, from which `XREAD` goes on."""
    milliseconds, number = map(int, offset.split("-"))
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{milliseconds - 1}-{_MOST}" if milliseconds else "0-0"
