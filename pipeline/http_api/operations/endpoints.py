"""Operations on endpoints: what receives callbacks. Values of secrets and headers never come back."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.bootstrap import ping
from pipeline.client.endpoint import info_of
from pipeline.crypto.ed25519_key import derive_public_key
from pipeline.crypto.secrets import SIGNING_PREFIX, fingerprint
from pipeline.delivery import endpoint_secrets, endpoints, tenant_view
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.rules.delivery import Sent
from pipeline.delivery.rules.endpoint_settings import MAX_BUNDLE_ITEMS, MAX_IN_FLIGHT, MAX_RATE, MAX_WAIT_MS
from pipeline.delivery.rules.failure_text import consequence, explain
from pipeline.domain.api_key import Scope
from pipeline.domain.callback_url import parse_callback_url
from pipeline.errors import InvalidInput
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.conditional import UNCHANGED, with_tag
from pipeline.http_api.endpoint_changes import change_endpoint
from pipeline.http_api.operation import Operation
from pipeline.http_api.pages import PageQuery, page, read_cursor
from pipeline.http_api.parameters import AnswerModel, BodyModel

_PATH = "/v1/endpoints/{endpoint:path}"


class EndpointQuery(PageQuery):
    """Which endpoints."""

    state: Literal["ok", "failing", "throttled", "open", "locked", "disabled"] | None = Field(
        None, description="Only in this state."
    )


class EndpointAnswer(AnswerModel):
    """What is known of an endpoint, with the numbers of the tenant's own deliveries."""

    origin: str = Field(description="`scheme://host:port`")
    state: str
    since: datetime | None
    until: datetime | None
    reason: str | None
    settings: dict[str, object] = Field(description="What is configured; null: the default.")
    secrets: list[dict[str, object]] = Field(description="Fingerprints of its own secrets, newest first.")
    headers: list[str] = Field(description="Names of its own headers.")
    locked: str | None
    backlog: dict[str, int]
    delivered: int = Field(description="How many of the newest 100,000 deliveries it accepted.")
    oldest_due_at: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    failing_since: datetime | None
    failing_events: int
    not_before: datetime | None = Field(description="Until when it asked not to be called.")
    open_until: datetime | None = Field(description="Until when it is left alone after it failed too often.")
    trips: int = Field(description="How often in a row it was left alone.")
    consecutive_failures: int
    notices: list[dict[str, object]]


class EndpointPage(AnswerModel):
    """A page of endpoints, by name."""

    data: list[EndpointAnswer]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool


class EndpointPatch(BodyModel):
    """What to change; null sets the default again, and what is left out stays (RFC 7396)."""

    schedule: Literal["standard", "short"] | None = None
    rate: float | None = Field(None, ge=0.001, le=MAX_RATE, description="Requests per second.")
    burst: int | None = Field(None, ge=1, le=int(MAX_RATE))
    in_flight_cap: int | None = Field(None, ge=1, le=MAX_IN_FLIGHT)
    ordering: Literal["endpoint", "batch"] | None = None
    max_block_seconds: float | None = Field(None, ge=0)
    coalesce_items: int | None = Field(None, ge=1, le=MAX_BUNDLE_ITEMS)
    coalesce_ms: int | None = Field(None, ge=0, le=MAX_WAIT_MS)
    headers: dict[str, str | None] | None = Field(
        None, description="Headers to add to every request; null as a value removes one."
    )


class RotateBody(BodyModel):
    """The new secret."""

    secret: str | None = Field(None, description="`whsec_…` or `whsk_…`, which makes the call repeatable.")
    asymmetric: bool = Field(False, description="Make a `whsk_…` key pair instead of a shared secret.")
    grace_seconds: float = Field(
        endpoint_secrets.DEFAULT_GRACE_SECONDS,
        ge=0,
        le=endpoint_secrets.MAX_GRACE_SECONDS,
        description="How long earlier secrets still sign.",
    )


class SecretAnswer(AnswerModel):
    """A new secret, which is shown this once."""

    origin: str
    secret: str
    public_key: str | None
    fingerprint: str


class EndpointTestBody(BodyModel):
    """What to call."""

    url: str | None = Field(None, description="A URL of the endpoint; default: its root.")


class EndpointTestAnswer(AnswerModel):
    """How a test request went."""

    is_success: bool
    webhook_id: str
    status: int | None
    error: str | None
    message: str | None
    answer: str | None
    duration_seconds: float


class DisableBody(BodyModel):
    """Why."""

    reason: str | None = Field(None, description="One line for others.")


class SwitchAnswer(AnswerModel):
    """How many deliveries are pending again, or paused."""

    origin: str
    deliveries: int


async def every(call: ApiCall) -> Response:
    """Return a page of endpoints."""
    query = call.parameters(EndpointQuery)
    found = await call.quick(
        tenant_view.list_endpoints,
        call.context,
        call.caller.sees,
        state=query.state,
        after=read_cursor(query.after),
        limit=query.limit + 1,
    )
    return answer(page(found, query.limit, lambda each: each.origin, _endpoint))


async def get(call: ApiCall) -> Response:
    """Return an endpoint."""
    found = await call.quick(tenant_view.find_endpoint, call.context, call.path("endpoint"), call.caller.sees)
    return with_tag(call.request, answer(_endpoint(found)), _tag(found.version))


async def patch(call: ApiCall) -> Response:
    """Change settings and headers."""
    body = await call.json(EndpointPatch)
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    headers = changes.pop("headers", None)
    seen = call.request.headers.get("if-match", "*")
    found = await call.quick(
        change_endpoint,
        call.context,
        call.path("endpoint"),
        changes,
        sees=call.caller.sees,
        headers=headers,
        expected_version=None if seen == "*" else seen.strip('"'),
    )
    return _shown(found)


async def rotate_secret(call: ApiCall) -> Response:
    """Give the endpoint a new secret."""
    body = await call.json(RotateBody, is_optional=True)
    origin = parse_callback_url(call.path("endpoint"), name="the endpoint").origin
    secret = await call.quick(
        endpoint_secrets.rotate,
        call.context,
        origin,
        grace_seconds=body.grace_seconds,
        asymmetric=body.asymmetric,
        secret=body.secret,
        check=lambda connection: tenant_view.claim(call.context, connection, origin, call.caller.sees),
    )
    public_key = derive_public_key(secret) if secret.startswith(SIGNING_PREFIX) else None
    return answer({"origin": origin, "secret": secret, "public_key": public_key, "fingerprint": fingerprint(secret)})


async def forget_secrets(call: ApiCall) -> Response:
    """Delete the endpoint's own secrets and headers."""
    origin = await _operable(call)
    await call.quick(endpoint_secrets.forget, call.context, origin)
    return Response(None, 204)


async def test(call: ApiCall) -> Response:
    """Send one signed `webhook.ping` now."""
    body = await call.json(EndpointTestBody, is_optional=True)
    call.unchanged()
    given = call.path("endpoint")
    origin = await call.quick(tenant_view.check_visible, call.context, given, call.caller.sees)
    url = body.url or given
    if parse_callback_url(url, name="the URL").origin != origin:
        raise InvalidInput(f"the URL is not of {origin}; send one that is")
    return answer(_sent(await call.bulk(ping, call.context, url)))


async def enable(call: ApiCall) -> Response:
    """Call the endpoint again, and send what was paused."""
    origin = await _operable(call)
    number = await call.quick(endpoints.enable, call.context, origin)
    call.gateway.work.wake()
    return answer({"origin": origin, "deliveries": number})


async def disable(call: ApiCall) -> Response:
    """Stop calling the endpoint. Pending deliveries are paused, not dropped."""
    body = await call.json(DisableBody, is_optional=True)
    origin = await _operable(call)
    number = await call.quick(endpoints.disable, call.context, origin, body.reason)
    return answer({"origin": origin, "deliveries": number})


async def _operable(call: ApiCall) -> str:
    return await call.quick(tenant_view.check_operable, call.context, call.path("endpoint"), call.caller.sees)


def _shown(found: KnownEndpoint) -> Response:
    return answer(_endpoint(found), headers={"ETag": _tag(found.version)})


def _tag(version: str) -> str:
    return f'"{version}"'


def _endpoint(found: KnownEndpoint) -> dict[str, Any]:
    info = info_of(found)
    health = found.health
    return {
        **{each.name: getattr(info, each.name) for each in fields(info)},
        "not_before": health.not_before,
        **{name: getattr(health.breaker, name) for name in ("open_until", "trips", "consecutive_failures")},
    }


def _sent(sent: Sent) -> dict[str, Any]:
    return {
        "is_success": sent.answer.code is None,
        "webhook_id": sent.owed.webhook_id,
        "status": sent.answer.status,
        "error": sent.answer.code,
        "message": consequence(sent.answer) or explain(sent.answer),
        "answer": sent.answer.text,
        "duration_seconds": (sent.ended_at - sent.started_at).total_seconds(),
    }


OPERATIONS = (
    Operation(
        "endpoints.list", "GET", "/v1/endpoints", Scope.READ, "List the endpoints that batches name.", every,
        query=EndpointQuery, answer=EndpointPage, problems=("bad_cursor",),
    ),
    Operation(
        "endpoints.get", "GET", _PATH, Scope.READ,
        "Show an endpoint: a URL of it, percent-encoded.", get,
        answer=EndpointAnswer, problems=("invalid_request",), other_statuses=UNCHANGED,
    ),
    Operation(
        "endpoints.update", "PATCH", _PATH, Scope.ADMIN,
        "Change settings and headers of an endpoint, all or none.", patch,
        body=EndpointPatch, answer=EndpointAnswer, problems=("cannot_decrypt", "endpoint_owned", "precondition_failed"),
        example={"rate": 50.0, "burst": None, "headers": {"X-Tenant": "acme"}},
    ),
    Operation(
        "endpoints.rotate_secret", "POST", _PATH + "/rotate-secret", Scope.ADMIN,
        "Give an endpoint a new secret, shown only this once.", rotate_secret,
        body=RotateBody, answer=SecretAnswer, problems=("cannot_decrypt", "endpoint_owned"),
        example={"grace_seconds": 86_400},
    ),
    Operation(
        "endpoints.forget_secrets", "DELETE", _PATH + "/secrets", Scope.ADMIN,
        "Delete the secrets and headers of an endpoint.", forget_secrets,
        status=204, problems=("endpoint_owned", "invalid_request"),
    ),
    Operation(
        "endpoints.test", "POST", _PATH + "/test", Scope.OPERATE,
        "Send one signed `webhook.ping` to an endpoint now.", test,
        body=EndpointTestBody, answer=EndpointTestAnswer, problems=("cannot_decrypt",), example={"url": "https://example.com/hook"},
    ),
    Operation(
        "endpoints.enable", "POST", _PATH + "/enable", Scope.OPERATE,
        "Call an endpoint again, and send what was paused.", enable,
        answer=SwitchAnswer, problems=("endpoint_owned", "invalid_request"),
    ),
    Operation(
        "endpoints.disable", "POST", _PATH + "/disable", Scope.OPERATE,
        "Stop calling an endpoint; its deliveries are paused, not dropped.", disable,
        body=DisableBody, answer=SwitchAnswer, problems=("endpoint_owned",),
        example={"reason": "maintenance until noon"},
    ),
)  # fmt: skip
