"""The record of changes that callers made over HTTP, in the log."""

from __future__ import annotations

import string

from starlette.requests import Request
from starlette.responses import Response

from pipeline.access.caller import Caller
from pipeline.log import get_logger

log = get_logger(__name__)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Of ids, names and origins. Other characters, as in a URL with a password, stay out of the log.
_SHOWN = frozenset(string.ascii_letters + string.digits + "._-:/[]")
_MAX_SHOWN = 200


def log_change(operation: str, request: Request, response: Response, outcome: str) -> None:
    """Log who asked for a change, of what, and how it ended, unless the request only reads.

    Args:
        operation: what was asked for, such as `batches.pause`.
        outcome: the status of the answer, or the code of its problem.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if request.method in _READING or caller is None or not getattr(request.state, "is_change", True):
        return
    log.info(
        "api_change",
        operation=operation,
        target=_target(request, response),
        outcome=outcome,
        key_id=caller.key_id,
        tenant=caller.tenant,
        request_id=request.state.request_id,
    )


def _target(request: Request, response: Response) -> str:
    """Return what was changed: what the path names, or what was created."""
    named = " ".join(map(str, request.path_params.values())) or response.headers.get("location", "")
    parts = named.split(" ")
    return " ".join(part if len(part) <= _MAX_SHOWN and _SHOWN.issuperset(part) else "(not shown)" for part in parts)
