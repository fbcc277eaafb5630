"""Operations on the guards of a batch: list, change, reset and remove them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import guards
from pipeline.domain.api_key import Scope
from pipeline.errors import InvalidInput, NotFound
from pipeline.guards.guards import GuardStatus
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel, BodyModel
from pipeline.http_api.problems import Problem


class GuardAnswer(AnswerModel):
    """A guard against failures, and what it has counted."""

    name: str
    state: Literal["watching", "fired"] = Field(description="`fired` until the batch is resumed or the guard is reset.")
    rate: float | None = Field(description="The tolerated share of failures.")
    count: int | str | None = Field(description="Fires at this many failures; `5%`: of the batch's items.")
    of: Literal["items", "attempts"]
    stage: str | None
    errors: list[str] = Field(description="The types of errors that count; empty: all.")
    in_flight: int | None
    action: Literal["alert", "pause", "cancel"]
    severity: Literal["info", "warning", "error", "critical"]
    score: float = Field(description="Evidence that failures are too frequent; above 7 it fires.")
    observed: int = Field(description="Counted since `since`.")
    failed: int
    since: datetime | None
    failures: int = Field(description="Since the last reset.")
    episode: int = Field(description="How often it has fired.")
    fired_at: datetime | None
    summary: str | None = Field(description="What it said when it fired last.")
    updated_at: datetime
    updated_by: str


class GuardList(AnswerModel):
    """The guards of a batch, by name."""

    data: list[GuardAnswer]


class GuardChanges(BodyModel):
    """Fields to change; null sets a field to its default."""

    rate: float | str | None = Field(None, description="A share, such as 0.05 or `5%`.")
    count: int | str | None = None
    of: str | None = None
    stage: str | None = None
    errors: list[str] | None = None
    in_flight: int | None = None
    action: str | None = None
    severity: str | None = None


async def every(call: ApiCall) -> Response:
    """Return the guards of a batch."""
    row = await call.batch()
    found = await call.quick(guards.list_guards, call.context, row["public_id"])
    return answer({"data": [each.to_json() for each in found]})


async def change(call: ApiCall) -> Response:
    """Change a guard, or add one."""
    body = await call.json(GuardChanges)
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    row = await call.batch()
    try:
        found: GuardStatus = await call.quick(
            guards.set_guard, call.context, row["public_id"], call.path("name"), changes
        )
    except NotFound:
        raise
    except InvalidInput as error:
        raise Problem("invalid_request", str(error)) from None
    return answer(found.to_json())


async def remove(call: ApiCall) -> Response:
    """Remove a guard."""
    row = await call.batch()
    await call.quick(guards.remove_guard, call.context, row["public_id"], call.path("name"))
    return answer(await _all(call, row))


async def reset(call: ApiCall) -> Response:
    """Let a guard count from nothing."""
    row = await call.batch()
    await call.quick(guards.reset_guard, call.context, row["public_id"], call.path("name"))
    return answer(await _all(call, row))


async def _all(call: ApiCall, row: Any) -> dict[str, Any]:
    found = await call.quick(guards.list_guards, call.context, row["public_id"])
    return {"data": [each.to_json() for each in found]}


OPERATIONS = (
    Operation(
        "guards.list", "GET", "/v1/batches/{batch}/guards", Scope.READ, "List the guards of a batch.", every,
        answer=GuardList,
    ),
    Operation(
        "guards.set", "PATCH", "/v1/batches/{batch}/guards/{name}", Scope.OPERATE,
        "Change fields of a guard, or add a guard.", change, body=GuardChanges, answer=GuardAnswer,
        example={"rate": 0.1},
    ),
    Operation(
        "guards.reset", "POST", "/v1/batches/{batch}/guards/{name}/reset", Scope.OPERATE,
        "Let a guard count from nothing; a paused batch stays paused.", reset, answer=GuardList,
    ),
    Operation(
        "guards.remove", "DELETE", "/v1/batches/{batch}/guards/{name}", Scope.OPERATE, "Remove a guard.", remove,
        answer=GuardList,
    ),
)  # fmt: skip
