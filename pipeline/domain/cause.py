"""Causes of failures: what messages have in common once the parts that differ from item to item are gone."""

from __future__ import annotations

import hashlib
import re  # noqa: TID251 - constant patterns, on text of bounded length
from dataclasses import dataclass

#: Characters of a message that are looked at.
_MAX_LENGTH = 2_000
_ID_DIGITS = 12
#: What is replaced, in this order.
_VARIABLE = (
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"\"[^\"]*\"|`[^`]*`|(?<!\w)'[^']*'(?!\w)"), "'…'"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "#"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]{0,40}[0-9])[0-9a-f]{6,}\b", re.IGNORECASE), "#"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "#"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why items are dead.

    Args:
        id: 12 hexadecimal digits, the same for the same stage, kind, type and message.
        message: what their messages have in common.
    """

    id: str
    stage: str
    kind: str
    type: str
    message: str


def find_cause(stage: str | None, kind: str | None, type_: str | None, message: str | None) -> Cause:
    """Return the cause of a failure."""
    text = (message or "")[:_MAX_LENGTH]
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    parts = stage or "", kind or "", type_ or "", " ".join(text.split())
    return Cause(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_ID_DIGITS], *parts)
