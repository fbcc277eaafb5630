"""Classify and enrich one item, and wait for its result."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import progress, results
from pipeline.batches.find import pruned_meanwhile
from pipeline.batches.open_batches import refuse_too_many
from pipeline.batches.submission import Submission, Submitted
from pipeline.batches.submit import submit
from pipeline.domain.api_key import Scope
from pipeline.domain.ids import item_id
from pipeline.domain.item import Item
from pipeline.http_api.authentication import check_scope
from pipeline.http_api.call import MAX_JSON_BYTES, ApiCall, answer
from pipeline.http_api.definition_choice import choose_definition
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations.submit import fair_key_for, submitting
from pipeline.http_api.parameters import AnswerModel, BodyModel, parse_json, validate
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.log_reading import wait_until
from pipeline.http_api.uploads.body_format import read_format, read_idempotency_key
from pipeline.http_api.uploads.receive import receive
from pipeline.http_api.uploads.uploaded_body import UploadedBody
from pipeline.telemetry.caller_span import read_traceparent

#: Its share next to other batches: one item does not wait behind a million.
WEIGHT = 10
#: Batches of a tenant that may wait for their one item.
MAX_OPEN = 100
_WAIT_SECONDS, _MAX_WAIT_SECONDS = 10.0, 30.0


class ClassifyBody(BodyModel):
    """One item."""

    definition: str | dict[str, Any]
    payload: dict[str, Any]
    key: str | None = None
    wait: float | None = Field(default=None, ge=0, le=_MAX_WAIT_SECONDS, strict=False)


class ClassifyAnswer(AnswerModel):
    """The result of an item, as callbacks have it under `data`; or, with 202, where it will be."""

    item_id: str
    state: str


async def classify(call: ApiCall) -> Response:
    """Process one item."""
    check_scope(call.caller, Scope.READ)
    body_format = read_format(call.request.headers)
    if not body_format.is_json:
        raise Problem("unsupported_media_type", "send application/json", headers={"Accept": "application/json"})
    key = read_idempotency_key(call.request.headers)
    with submitting(call, key):
        call.refuse_if_busy()
        use = partial(_submit, call, key)
        submitted, wait = await receive(call, body_format, MAX_JSON_BYTES, use, advice="send one item")
    if submitted.is_new:
        call.gateway.work.wake()
    headers = {} if submitted.is_new else {"Idempotent-Replayed": "true"}
    name = item_id(submitted.batch_id, 1)
    if not await _is_complete(call, submitted.row_id, _wait_seconds(call, wait)):
        headers |= {"Location": f"/v1/items/{name}", "Retry-After": "1"}
        return answer({"item_id": name, "state": "pending"}, 202, headers)
    page = await call.quick(results.page, call.context, submitted.row_id, 0, 1)
    return answer(page.results[0], 200, headers)


def _submit(call: ApiCall, key: str | None, body: UploadedBody) -> tuple[Submitted, float | None]:
    options = validate(ClassifyBody, parse_json(body.open().read()))
    submission = Submission(
        choose_definition(call.context, call.caller, options.definition),
        idempotency_key=key,
        fair_key=fair_key_for(call, None),
        caller=read_traceparent(call.request.headers.get("traceparent")),
        weight=WEIGHT,
        tenant=call.caller.submits_as,
    )
    refuse_too_many(call.context, submission, total=1, limit=MAX_OPEN)
    return submit(call.context, [Item(options.payload, key=options.key)], submission, body=body), options.wait


def _wait_seconds(call: ApiCall, given: float | None) -> float:
    if given is not None:
        return given
    for preference in call.request.headers.get("prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.strip().lower() == "wait" and value.strip().isdecimal():
            return min(float(value), _MAX_WAIT_SECONDS)
    return _WAIT_SECONDS


async def _is_complete(call: ApiCall, batch_id: int, seconds: float) -> bool:
    """Return whether a batch completes within a time. A server that stops waits no longer."""
    end, wake, gateway = time.monotonic() + seconds, asyncio.Event(), call.gateway
    if seconds <= 0:
        return await call.quick(progress.is_complete, call.context, batch_id)
    with gateway.streams.waking(wake), gateway.hub.following(batch_id, wake, events=False) as feed:
        while True:
            wake.clear()
            if feed.is_gone:
                raise pruned_meanwhile()
            # The hub has asked since this began: its first poll comes after joining.
            if feed.version is not None and feed.version.is_complete:
                return True
            if gateway.is_draining or not await wait_until(wake, end):
                return False


OPERATIONS = (
    Operation(
        "items.classify", "POST", "/v1/classify", Scope.SUBMIT, "Process one item and wait for its result.", classify,
        body=ClassifyBody, answer=ClassifyAnswer,
        other_statuses={202: "It is not final yet; `Location` says where it will be."},
        problems=(
            "unsupported_media_type", "body_too_large", "bad_encoding", "bad_json", "digest_mismatch", "invalid_items",
            "invalid_request", "bad_idempotency_key", "definition_not_allowed", "not_found", "idempotency_in_progress",
            "idempotency_key_reused", "invalid_definition", "backlog_full", "outcome_unknown", "busy", "storage_full",
        ),
        example={"definition": "tickets", "payload": {"body": "The invoice is wrong"}},
    ),
)  # fmt: skip
