"""The header `traceparent`: W3C Trace Context level 1, version 00."""

from __future__ import annotations

import string
from typing import NamedTuple

#: Characters of one.
LENGTH = 55
_HEX = frozenset(string.digits + "abcdef")


class TraceContext(NamedTuple):
    """A span of somebody's trace."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"


def parse_traceparent(text: str) -> TraceContext | None:
    """Return what a `traceparent` says; None if it is not one of version 00."""
    parts = text.split("-") if len(text) == LENGTH else []
    if [len(part) for part in parts] != [2, 32, 16, 2] or parts[0] != "00" or not _HEX.issuperset("".join(parts)):
        return None
    trace_id, span_id, flags = (int(part, 16) for part in parts[1:])
    # All zeros are no id.
    return TraceContext(trace_id, span_id, bool(flags & 1)) if trace_id and span_id else None
