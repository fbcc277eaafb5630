"""Operations on API keys and stream tokens. Keys are created by the command line alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import Field
from starlette.responses import Response

from pipeline.access import keys, stream_tokens
from pipeline.access.keys import ApiKey
from pipeline.domain.api_key import Scope
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.pages import PageQuery, page, read_cursor
from pipeline.http_api.parameters import AnswerModel, BodyModel

_DEFAULT_TTL = 600


class KeyAnswer(AnswerModel):
    """An API key without its secret."""

    key_id: str
    name: str
    tenant: str
    scopes: list[str]
    requests_per_second: float
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Accurate to a minute.")


class KeyPage(AnswerModel):
    """A page of keys, the oldest first."""

    data: list[KeyAnswer]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool


class StreamTokenBody(BodyModel):
    """What a stream token is for."""

    batch: str = Field(description="Id of the batch that it may read.")
    ttl: int = Field(
        _DEFAULT_TTL,
        ge=1,
        le=int(stream_tokens.MAX_LIFETIME.total_seconds()),
        description="Seconds until it expires.",
    )


class StreamTokenAnswer(AnswerModel):
    """A stream token, which is shown this once."""

    token: str = Field(description="Send it as `?token=` to the events, the results or the WebSocket of the batch.")
    batch_id: str
    expires_at: datetime


async def every(call: ApiCall) -> Response:
    """Return a page of the keys that the caller may see."""
    query = call.parameters(PageQuery)
    after = read_cursor(query.after)
    found = await call.quick(keys.every, call.context, call.caller.sees)
    behind = [key for key in found if after is None or _order(key) > after]
    return answer(page(behind, query.limit, _order, _key))


async def revoke(call: ApiCall) -> Response:
    """Revoke a key and return it."""
    return answer(_key(await call.quick(keys.revoke, call.context, call.path("key"), call.caller.sees)))


async def create_token(call: ApiCall) -> Response:
    """Create a stream token."""
    body = await call.json(StreamTokenBody)
    batch = await call.batch_named(body.batch)
    lifetime = timedelta(seconds=body.ttl)
    token = await call.quick(stream_tokens.create, call.context, call.caller, batch["id"], lifetime)
    found = {"token": token.text, "batch_id": batch["public_id"], "expires_at": token.expires_at}
    return answer(found, 201)


def _order(key: ApiKey) -> str:
    return f"{key.created_at.timestamp():020.6f} {key.id}"


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": [scope.value for scope in key.scopes],
        "requests_per_second": key.rate,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


OPERATIONS = (
    Operation(
        "keys.list", "GET", "/v1/keys", Scope.ADMIN, "List the API keys of the tenant, without their secrets.", every,
        query=PageQuery, answer=KeyPage, problems=("bad_cursor",),
    ),
    Operation(
        "keys.revoke", "DELETE", "/v1/keys/{key}", Scope.ADMIN, "Revoke an API key; it works for 10 s at most.",
        revoke, answer=KeyAnswer,
    ),
    Operation(
        "stream_tokens.create", "POST", "/v1/stream-tokens", Scope.READ,
        "Create a short-lived token with which a browser reads one batch.", create_token,
        body=StreamTokenBody, answer=StreamTokenAnswer, status=201, problems=("not_found",),
        example={"batch": "2whekg34q0szey76", "ttl": 600},
    ),
)  # fmt: skip
