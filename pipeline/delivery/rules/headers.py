"""Headers that an endpoint's requests carry beside ours: what may be one."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import InvalidInput

MAX_HEADERS = 20
MAX_VALUE_LENGTH = 4_096
MAX_NAME_LENGTH = 256

#: What we or the connection say, in lower case.
_REFUSED = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"}
    | {"keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
)
# The last ones open the metadata services of clouds: a callback never speaks to those.
_REFUSED_PREFIXES = ("webhook-", "proxy-", "x-amz-", "x-goog-", "x-google", "metadata", "x-azure-")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class InvalidHeader(InvalidInput):
    """A header cannot be sent. The message never shows its value."""


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers, their names in lower case, if all of them may be sent.

    Raises:
        InvalidHeader: too many, a name that is none or is ours, or a value that is not one line of printable ASCII.
    """
    if len(headers) > MAX_HEADERS:
        raise InvalidHeader(f"there are {len(headers)} headers; at most {MAX_HEADERS} are added to a request")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        _check_name(lower, name)
        _check_value(name, value)
        if lower in checked:
            raise InvalidHeader(f"the header {name!r} is given twice; the case of its name makes no difference")
        checked[lower] = value
    return checked


def _check_name(lower: str, name: str) -> None:
    if not name or len(name) > MAX_NAME_LENGTH or not _TOKEN.issuperset(lower):
        shown = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"
        raise InvalidHeader(f"{shown!r} is no name of a header; it has letters, digits and hyphens, such as X-Api-Key")
    if lower in _REFUSED or lower.startswith(_REFUSED_PREFIXES):
        raise InvalidHeader(f"the header {name!r} cannot be set: the sender or the connection says it; leave it out")


def _check_value(name: str, value: str) -> None:
    if not value or len(value) > MAX_VALUE_LENGTH:
        raise InvalidHeader(f"the value of {name!r} has {len(value)} characters; it has 1 to {MAX_VALUE_LENGTH}")
    if not all(" " <= each <= "~" or each == "\t" for each in value) or value != value.strip():
        raise InvalidHeader(
            f"the value of {name!r} is not one line of printable ASCII without spaces around it; encode or trim it"
        )
