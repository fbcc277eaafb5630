"""Operations about the server and the caller."""

from __future__ import annotations

from pydantic import Field
from starlette.responses import Response

from pipeline.database.schema import read_version
from pipeline.domain.api_key import Scope
from pipeline.errors import PipelineError
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel
from pipeline.http_api.rate_limits import BURST_SECONDS
from pipeline.version import installed_version


class Liveness(AnswerModel):
    """The event loop lives."""

    status: str


class Readiness(AnswerModel):
    """Whether requests would succeed, part by part: `ok`, or what is wrong."""

    database: str
    schema_: str = Field(alias="schema")
    work: str
    draining: bool


class Version(AnswerModel):
    """The version of the program and of the API."""

    version: str
    api: str


class Me(AnswerModel):
    """What the caller's key is and may do."""

    key_id: str | None
    name: str
    tenant: str
    scopes: list[str]
    requests_per_second: float | None
    burst: int | None


async def health(call: ApiCall) -> Response:
    """AnswerModel for as long as the event loop lives."""
    return answer({"status": "ok"})


async def ready(call: ApiCall) -> Response:
    """AnswerModel 200 if a request would succeed now, 503 otherwise."""
    database = schema = "ok"
    try:
        version = await call.quick(read_version, call.context.database)
        if not version.is_current:
            schema = f"the database has version {version.database}, this program needs {version.program}"
    except PipelineError:
        database, schema = "it does not answer", "unknown"
    work = call.gateway.work.problem() or "ok"
    is_ready = database == schema == work == "ok" and not call.gateway.is_draining
    parts = {"database": database, "schema": schema, "work": work, "draining": call.gateway.is_draining}
    return answer(parts, 200 if is_ready else 503)


async def version(call: ApiCall) -> Response:
    """Return the version of the program."""
    return answer({"version": installed_version(), "api": "v1"})


async def me(call: ApiCall) -> Response:
    """Return what the caller's key may do."""
    caller = call.caller
    scopes = [scope.value for scope in Scope if scope in caller.scopes]
    rate = None if caller.rate == float("inf") else caller.rate
    return answer(
        {
            "key_id": caller.key_id,
            "name": caller.name,
            "tenant": caller.tenant,
            "scopes": scopes,
            "requests_per_second": rate,
            "burst": None if rate is None else max(1, int(rate * BURST_SECONDS)),
        }
    )


OPERATIONS = (
    Operation("server.health", "GET", "/health", None, "Tell that the server lives.", health, answer=Liveness),
    Operation(
        "server.ready", "GET", "/ready", None, "Tell whether requests would succeed.", ready, answer=Readiness,
        other_statuses={503: "They would fail."},
    ),
    Operation("server.version", "GET", "/version", None, "Return the version of the server.", version, answer=Version),
    Operation(
        "me.get", "GET", "/v1/me", None, "Return what the caller's key may do.", me, answer=Me, any_key=True
    ),
)  # fmt: skip
