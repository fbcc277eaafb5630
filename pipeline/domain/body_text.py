"""The beginning of a response's body, as text that is kept for people who look into a failure."""

from __future__ import annotations

import codecs

#: Bytes of UTF-8 that are kept of a response to a failed attempt.
KEPT_BYTES = 4_096


def body_text(body: bytes, limit: int, *, is_complete: bool) -> str | None:
    """Return the start of a body as text that every database stores: without NUL, and at most `limit` bytes of UTF-8.

    Args:
        is_complete: whether nothing of the body is missing; otherwise an incomplete character at its end is left out.
    """
    start = body[:limit]
    if start.isascii():
        return start.decode().replace("\0", "") or None
    is_end = is_complete and len(body) <= limit
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(start, final=is_end).replace("\0", "")
    # The replacement character takes three bytes, the byte that it replaces only one.
    return text.encode()[:limit].decode(errors="ignore") or None
