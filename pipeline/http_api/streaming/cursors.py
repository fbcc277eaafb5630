"""Positions that callers give: a `seq` in a log, or where a list goes on."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

from pipeline.batches.event_log import BatchVersion
from pipeline.domain import bounds
from pipeline.http_api.problems import Problem

#: As `after`: begin with what comes from now on.
LATEST = "latest"


def read_seq(name: str, text: str) -> int:
    """Return the `seq` that a caller gives.

    Args:
        name: of the parameter or header.

    Raises:
        Problem: bad_cursor.
    """
    # The length first: Python refuses to parse thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(bounds.SEQ.most))):
        raise _bad(name, text, "the `seq` of an event, a whole number from 0")
    seq = int(text)
    if seq > bounds.SEQ.most:
        raise _bad(name, text, str(bounds.SEQ))
    return seq


def check_seq(seq: int, version: BatchVersion) -> int:
    """Return a `seq` if the log reaches it. Waiting for it would lose events: the log is another than it was.

    Raises:
        Problem: cursor_ahead.
    """
    if seq > version.last_seq:
        raise Problem(
            "cursor_ahead",
            f"the log ends at seq {version.last_seq}, before {seq}: the database was restored, or the batch is "
            "another; begin again with after=0",
            last_seq=version.last_seq,
        )
    return seq


def encode_position(position: int) -> str:
    """Return where a list goes on as text that callers need not understand."""
    return urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def decode_position(text: str | None) -> int | None:
    """Return where a list goes on; None: at its beginning.

    Raises:
        Problem: bad_cursor: the text is not one of `encode_position`.
    """
    if text is None:
        return None
    try:
        decoded = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        decoded = ""
    if not decoded.isdecimal() or encode_position(int(decoded[:20])) != text:
        raise _bad("after", text, "`next` of the page before")
    return int(decoded)


def _bad(name: str, text: str, expected: str) -> Problem:
    return Problem(
        "bad_cursor",
        f"{name} is {bounds.shown(text)}; expected {expected}",
        errors=[{"parameter": name, "detail": f"expected {expected}"}],
    )
