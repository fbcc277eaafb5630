"""Tell failures of a service as a whole, such as an expired token, from failures of one item."""

from __future__ import annotations

from pipeline.errors import StageError

#: Statuses that refuse the caller, not the request.
_REFUSED = frozenset({401, 403})
#: Names of the exceptions that HTTP clients raise if they cannot connect; they have no common base class.
_NOT_CONNECTED = frozenset(
    {"ConnectError", "ConnectTimeout", "ConnectionError", "ConnectTimeoutError", "NewConnectionError"}
)


def is_outage(error: BaseException) -> bool:
    """Return whether a call failed because its service refuses the caller, is broken, or cannot be reached.

    That is an answer of 401, 403 or 5xx, or no connection. Exceptions of common HTTP clients are understood as well.
    """
    status = error.status if isinstance(error, StageError) else _status_of_response(error)
    if status is not None:
        return status in _REFUSED or 500 <= status <= 599
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(each, ConnectionError) or type(each).__name__ in _NOT_CONNECTED for each in causes)


def _status_of_response(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    found = getattr(response, "status_code", None)
    found = getattr(error, "status_code", None) if found is None else found
    return found if isinstance(found, int) and not isinstance(found, bool) else None
