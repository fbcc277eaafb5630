"""Submit a batch in parts: in any order, in parallel, resumable."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import parts
from pipeline.batches.batch_view import view_batch
from pipeline.batches.parts import MAX_PART_BYTES, NUMBER, BatchPart
from pipeline.database.row import Row
from pipeline.domain.api_key import Scope
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations.batches import BatchAnswer, batch_json
from pipeline.http_api.operations.submit import BODY_PROBLEMS, ReadingParameters, read_items_of
from pipeline.http_api.parameters import AnswerModel, BodyModel, Flag
from pipeline.http_api.problems import Problem
from pipeline.http_api.uploads.body_format import FORMATS, BodyFormat, read_format
from pipeline.http_api.uploads.receive import receive
from pipeline.http_api.uploads.submit_report import SubmitReport
from pipeline.http_api.uploads.uploaded_body import UploadedBody


class PartParameters(ReadingParameters):
    """How a part is read."""

    replace: Flag = Field(False, description="Replaces a part of this number whose content is another.")


class PartAnswer(AnswerModel):
    """A part that is stored."""

    number: int
    sha256: str
    bytes: int
    items: int
    rejected: int
    created_at: datetime
    errors: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None


class PartsAnswer(AnswerModel):
    """The parts of a batch that are stored: the others are to be sent."""

    data: list[PartAnswer]
    next: str | None
    has_more: bool
    expires_at: datetime | None


class SealBody(BodyModel):
    """How many parts a batch has, and how many items it should have in all."""

    parts: int = Field(ge=1, le=NUMBER.most)
    items: int | None = Field(default=None, ge=1)


async def put(call: ApiCall) -> Response:
    """Store a part."""
    query = call.parameters(PartParameters)
    number = _number(call.path("number"))
    body_format = read_format(call.request.headers)
    row = await call.batch()
    call.refuse_if_busy()
    use = partial(_put, call, row, number, query, body_format)
    stored, is_new, members = await receive(call, body_format, MAX_PART_BYTES, use, query.reading())
    return answer(asdict(stored) | members, 201 if is_new else 200)


def _put(
    call: ApiCall, batch: Row, number: int, query: PartParameters, body_format: BodyFormat, body: UploadedBody
) -> tuple[BatchPart, bool, dict[str, Any]]:
    fields = {"key_field": query.key_field, "callback_url_field": query.callback_url_field}
    submission = parts.submission_of(call.context, batch, **fields)
    report = SubmitReport(query.on_error)
    with closing(read_items_of(call.context, body, body_format, submission, query, report)) as given:
        stored, is_new = parts.put_part(
            call.context, batch, number, given, submission, body, on_reject=report.on_reject, replace=query.replace
        )
    return stored, is_new, report.members() | {"rejected": stored.rejected}


async def list_all(call: ApiCall) -> Response:
    """Return the parts that are stored."""
    row = await call.batch()
    found = await call.quick(parts.list_parts, call.context, row["id"])
    until = await call.quick(parts.expires_at, call.context, row["id"])
    data = [asdict(each) for each in found]
    return answer({"data": data, "next": None, "has_more": False, "expires_at": until})


async def seal(call: ApiCall) -> Response:
    """Accept a batch that was uploaded in parts."""
    row = await call.batch()
    body = await call.json(SealBody)
    if await call.bulk(parts.seal, call.context, row, body.parts, body.items):
        call.gateway.work.wake()
    return answer(batch_json(await call.quick(view_batch, call.context, row["public_id"])))


async def give_up(call: ApiCall) -> Response:
    """Remove a batch that still takes parts."""
    row = await call.batch()
    await call.bulk(parts.give_up, call.context, row)
    return Response(status_code=204)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and NUMBER.least <= int(text) <= NUMBER.most):
        raise Problem("invalid_request", f"{text[:80]!r} is no number of a part: {NUMBER}")
    return int(text)


OPERATIONS = (
    Operation(
        "parts.put", "PUT", "/v1/batches/{batch}/parts/{number}", Scope.SUBMIT, "Store a part of a batch.", put,
        query=PartParameters, bodies=tuple(FORMATS), answer=PartAnswer, status=201,
        other_statuses={200: "The part was stored before."},
        problems=(*BODY_PROBLEMS, "not_found", "not_accepting", "part_differs", "part_in_progress", "endpoint_owned",
            "backlog_full"),
    ),
    Operation(
        "parts.list", "GET", "/v1/batches/{batch}/parts", Scope.SUBMIT, "List the parts that are stored.", list_all,
        answer=PartsAnswer, problems=("not_found",),
    ),
    Operation(
        "batches.seal", "POST", "/v1/batches/{batch}/seal", Scope.SUBMIT, "Accept a batch that has all its parts.",
        seal, body=SealBody, answer=BatchAnswer,
        problems=(
            "not_found", "not_accepting", "part_in_progress", "parts_missing", "items_mismatch", "no_items",
            "invalid_request", "bad_json", "unsupported_media_type", "busy",
        ),
        example={"parts": 12},
    ),
    Operation(
        "batches.give_up", "DELETE", "/v1/batches/{batch}", Scope.SUBMIT, "Give up a batch that still takes parts.",
        give_up, status=204, problems=("not_found", "not_accepting", "busy"),
    ),
)  # fmt: skip
