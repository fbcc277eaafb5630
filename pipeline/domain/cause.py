"""Causes of failures: what messages have in common once the parts that differ from item to item are gone."""

from __future__ import annotations

import hashlib
import re  # noqa: TID251 - constant patterns, on text of bounded length
from dataclasses import dataclass

#: Part of every cause: with other rules, the same message has another one.
_RULES = "2"
#: Characters of a message that are looked at, and of what is kept of it.
_MAX_LENGTH, _KEPT_LENGTH = 2_000, 200
_ID_DIGITS = 12
#: What is replaced, in this order.
_VARIABLE = (
    # The host tells services apart.
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://(?:[^\s/@]*@)?([^\s/?#:'\"<>]*)[^\s'\"<>]*", re.IGNORECASE), r"url:\1"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-f]*:[0-9a-f:.]+\](?::\d+)?", re.IGNORECASE), "<ip>"),
    (re.compile(r"\"[^\"]*\"|`[^`]*`|(?<!\w)'[^']*'(?!\w)"), "<q>"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]{0,40}[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    # Not of a host name, which tells services apart as well; it has a dot.
    (re.compile(r"(?<![\w.:</\\-])(?=[\w-]*[a-z])(?=[\w-]*\d)[\w-]+(?![\w.-]*\w)", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<![\w.:<])~?(?:/(?:[\w.+-]|<\w+>)+){2,}/?|\b[a-z]:\\[\w.\\+-]+", re.IGNORECASE), "<path>"),
    # Not a status: 404 and 503 are different causes.
    (
        re.compile(
            r"(?<!\w)(?P<status>(?:HTTP(?:/\d(?:\.\d)?)?|status|code|answered)[ :=]+[1-5]\d\d)(?![\w.,]*\d)(?! bytes)|"
            r"(?<![\w.])\d+(?:[.,:]\d+)*",
            re.IGNORECASE,
        ),
        lambda found: found["status"] or "<n>",
    ),
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
    parts = stage or "", kind or "", type_ or "", " ".join(text.split())[:_KEPT_LENGTH]
    digest = hashlib.sha256("\0".join((_RULES, *parts)).encode(errors="replace")).hexdigest()
    return Cause(digest[:_ID_DIGITS], *parts)
