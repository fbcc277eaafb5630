"""Custom headers of an endpoint: which ones are allowed."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.domain.bounds import shown
from pipeline.errors import InvalidInput

MAX_HEADERS = 20
MAX_VALUE_LENGTH = 4_096
MAX_NAME_LENGTH = 256

#: Headers that the sender or the connection sets, in lower case.
_REFUSED = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"}
    | {"keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
)
# The last ones unlock the metadata services of clouds, which a callback must never reach.
_REFUSED_PREFIXES = ("webhook-", "proxy-", "x-amz-", "x-goog-", "x-google", "metadata", "x-azure-")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class InvalidHeader(InvalidInput):
    """A header is not allowed. The message never shows its value."""

    code = "invalid_header"


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Validate headers and return them with lower-case names.

    Raises:
        InvalidHeader: there are too many, a name is invalid or reserved, or a value is not one line of printable
            ASCII.
    """
    if len(headers) > MAX_HEADERS:
        raise InvalidHeader(f"there are {len(headers)} headers; the limit is {MAX_HEADERS}")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        lower = check_header_name(name)
        _check_value(name, value)
        if lower in checked:
            raise InvalidHeader(f"the header {name!r} is given twice; names are case-insensitive")
        checked[lower] = value
    return checked


def check_header_name(name: str) -> str:
    """Return a header's name in lower case.

    Raises:
        InvalidHeader: it is not a name of headers, or is reserved.
    """
    if not isinstance(name, str):
        raise InvalidHeader(f"the name of a header is {shown(name)}; expected text such as X-Api-Key")
    lower = name.lower()
    _check_name(lower, name)
    return lower


def _check_name(lower: str, name: str) -> None:
    if not name or len(name) > MAX_NAME_LENGTH or not _TOKEN.issuperset(lower):
        shown = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"
        raise InvalidHeader(f"{shown!r} is not a header name; use letters, digits and hyphens, as in X-Api-Key")
    if lower in _REFUSED or lower.startswith(_REFUSED_PREFIXES):
        raise InvalidHeader(f"the header {name!r} cannot be set: the sender or the connection sets it; leave it out")


def _check_value(name: str, value: str) -> None:
    if not isinstance(value, str):
        raise InvalidHeader(f"the value of {name!r} is of type {type(value).__name__}; expected text")
    if not value or len(value) > MAX_VALUE_LENGTH:
        raise InvalidHeader(f"the value of {name!r} has {len(value)} characters; expected 1 to {MAX_VALUE_LENGTH}")
    if not all(" " <= each <= "~" or each == "\t" for each in value) or value != value.strip():
        raise InvalidHeader(
            f"the value of {name!r} is not one line of printable ASCII without surrounding spaces; encode or trim it"
        )
