"""Turns what a server answers into values and into the exceptions that the embedded client raises."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from pipeline.client.remote.connections import HttpAnswer
from pipeline.crypto.encryption import CannotDecrypt
from pipeline.crypto.secrets import InvalidSecret
from pipeline.delivery.rules.headers import InvalidHeader
from pipeline.domain.callback_url import ForbiddenCallbackUrl, InvalidCallbackUrl
from pipeline.domain.payload import Rejection
from pipeline.errors import (
    AccessDenied,
    BacklogFull,
    Conflict,
    DatabaseFull,
    EndpointOwned,
    InvalidDefinition,
    InvalidInput,
    InvalidItems,
    NoItems,
    NotFound,
    OutcomeUnknown,
    PipelineError,
    SubmissionInProgress,
    Unreachable,
    WrongSchema,
)

#: The exception by the code of a problem, where the status alone does not say it.
_BY_CODE: dict[str, type[PipelineError]] = {
    "invalid_definition": InvalidDefinition,
    "definition_not_allowed": InvalidDefinition,
    "no_items": NoItems,
    "endpoint_owned": EndpointOwned,
    "cannot_decrypt": CannotDecrypt,
    "idempotency_key_reused": Conflict,
    "idempotency_in_progress": SubmissionInProgress,
    "backlog_full": BacklogFull,
    "storage_full": DatabaseFull,
    "wrong_schema": WrongSchema,
}
#: The exception by the `reason` of a problem, which is the code of the error that the server met.
_BY_REASON: dict[str, type[PipelineError]] = {
    each.code: each for each in (InvalidCallbackUrl, ForbiddenCallbackUrl, InvalidHeader, InvalidSecret)
}
_BY_STATUS: dict[int, type[PipelineError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    429: Unreachable,
}


def value_of(answer: HttpAnswer) -> Any:
    """Return the JSON value of a successful answer.

    Raises:
        PipelineError: the answer is a problem; the subclass is the one that the embedded client would raise.
        Unreachable: it is no answer of the API: another server is at the address.
    """
    if answer.status >= 400:
        raise _error_of(answer)
    try:
        return orjson.loads(answer.body) if answer.body else None
    except orjson.JSONDecodeError:
        raise Unreachable("the server answered with something that is not JSON; is it `pipeline serve`?") from None


def _error_of(answer: HttpAnswer) -> PipelineError:
    problem = _problem(answer)
    if problem is None:
        return Unreachable(f"the server answered {answer.status}, without a problem; is it `pipeline serve`?")
    code, detail = problem["code"], str(problem.get("detail", ""))
    if code == "invalid_items":
        rejections = tuple(
            Rejection(line=int(each.get("line", 0)), reason=str(each.get("detail", "")), text="")
            for each in problem.get("errors", ())
        )
        return InvalidItems(detail, rejections, int(problem.get("error_count", len(rejections))))
    if code == "outcome_unknown":
        return OutcomeUnknown(detail, str(problem.get("batch_id", "")))
    if answer.status >= 500 and code not in _BY_CODE:
        return Unreachable(f"{detail} (request {problem.get('request_id')})")
    kind = _BY_REASON.get(str(problem.get("reason"))) or _BY_CODE.get(code) or _BY_STATUS.get(answer.status)
    return (kind or InvalidInput)(detail)


def with_times(found: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a JSON object with these members, as far as they are there and not null, as instants."""
    times = {name: datetime.fromisoformat(found[name]) for name in names if found.get(name) is not None}
    return found | times


def _problem(answer: HttpAnswer) -> dict[str, Any] | None:
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("code"), str) else None
