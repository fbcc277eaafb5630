"""Submit a batch: as one JSON object, or as a stream of items of any size."""

from __future__ import annotations

import re  # noqa: TID251 - a constant pattern, possessive throughout and therefore linear
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import parts
from pipeline.batches.batch_view import view_batch
from pipeline.batches.find import find_submitted
from pipeline.batches.idempotency import refuse_other_body
from pipeline.batches.read_input import open_input
from pipeline.batches.submission import Submission, Submitted
from pipeline.batches.submit import submit
from pipeline.batches.validate import Given
from pipeline.context import Context
from pipeline.domain.alerts.guard import Guard, parse_guard, read_guard
from pipeline.domain.api_key import Scope
from pipeline.domain.item import Item
from pipeline.domain.payload import Record, Rejection
from pipeline.domain.tenant import DEFAULT_TENANT
from pipeline.errors import InvalidItems, NoItems
from pipeline.http_api.call import MAX_JSON_BYTES, ApiCall, answer
from pipeline.http_api.definition_choice import choose_definition
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations.batches import BatchAnswer, batch_json
from pipeline.http_api.parameters import BodyModel, Flag, Parameters, parse_json, pointer, validate
from pipeline.http_api.problems import Problem, problem_of
from pipeline.http_api.uploads.body_format import FORMATS, BodyFormat, read_format, read_idempotency_key
from pipeline.http_api.uploads.receive import receive
from pipeline.http_api.uploads.submit_report import OnError, SubmitReport
from pipeline.http_api.uploads.uploaded_body import UploadedBody
from pipeline.sources import HeaderRules, ReadOptions, ReadReport
from pipeline.telemetry.caller_span import read_traceparent

Schedule = Literal["standard", "short"]
#: Values of a JSON object, all of which are in memory at once.
_MAX_VALUES = 500_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_MEMBERS_OF_ITEMS = ("payload", "key", "callback_url")


class ReadingParameters(Parameters):
    """How a stream of items is read."""

    key_field: str | None = Field(None, description="Field that holds your own id of each item.")
    callback_url_field: str | None = Field(None, description="Field that holds an item's own callback URL.")
    on_error: OnError = Field(
        "fail", description="If items cannot be accepted: refuse all of them, or accept the others."
    )
    header: Literal["lenient"] | None = Field(
        None, description="Calls columns without a name by their letters instead of refusing their values."
    )
    strict: Flag = Field(False, description="Refuses a table whose header has a name twice.")

    items_are: Literal["payloads", "items"] = Field(
        "payloads", description="Whether an entry is a payload, or an object with `payload`, `key` and `callback_url`."
    )

    def reading(self) -> dict[str, str]:
        """Return the options that decide which items the same bytes make, those with their defaults left out."""
        names = ("key_field", "callback_url_field", "on_error", "header", "strict", "items_are")
        given = {name: getattr(self, name) for name in names}
        return {name: str(value) for name, value in given.items() if value not in (None, False, "fail", "payloads")}

    def read_options(self, body_format: BodyFormat) -> ReadOptions:
        """Return how the readers are to read a body."""
        header = HeaderRules(lenient=self.header is not None, strict=self.strict)
        return ReadOptions(body_format.format, body_format.charset, header, name="the body")


class SubmitParameters(ReadingParameters):
    """The options of a batch whose body is a stream of items; a JSON object has them as members."""

    definition: str | None = Field(None, description="Name of the definition.")
    callback_url: str | None = Field(None, description="Receives an event for each item as soon as it is final.")
    batch_callback_url: str | None = Field(None, description="Receives one event when the batch is complete.")
    fallback_url: str | None = Field(None, description="Receives an event for each callback that is given up.")
    callback_schedule: Schedule | None = Field(
        None, description="How callbacks are retried: for four days, or five attempts in a quarter of an hour."
    )
    exports: str | None = Field(
        None, description="Targets that all results are written to in bulk: up to 8, separated by spaces."
    )
    guard: str | None = Field(None, max_length=2_000, description="A guard against failures, such as `rate=5%`.")
    fair_key: str | None = Field(None, description="Batches with the same key share what one batch gets.")
    weight: int = Field(1, description="Share of this batch next to others, from 1 to 1,000,000.")


class BatchBody(BodyModel):
    """A batch as one JSON object, of at most 10 MiB."""

    definition: str | dict[str, Any]
    items: list[Any] = Field(default_factory=list)
    items_are: Literal["payloads", "items"] = "payloads"
    parts: bool = False
    callback_url: str | None = None
    batch_callback_url: str | None = None
    fallback_url: str | None = None
    callback_schedule: Schedule | None = None
    exports: list[str] = Field(default_factory=list)
    guards: list[dict[str, Any]] = Field(default_factory=list, max_length=20)
    fair_key: str | None = None
    weight: int = 1
    key_field: str | None = None
    callback_url_field: str | None = None
    on_error: OnError = "fail"


class SubmittedAnswer(BatchAnswer):
    """A batch that was accepted, and what was left out of it."""

    rejected: int | None = None
    errors: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None


async def create(call: ApiCall) -> Response:
    """Submit a batch."""
    query = call.parameters(SubmitParameters)
    body_format = read_format(call.request.headers)
    key = read_idempotency_key(call.request.headers)
    with submitting(call, key):
        call.refuse_if_busy()
        if body_format.is_json and query.definition is None:
            advice = "send items as a stream, such as application/x-ndjson, of any size"
            use = partial(_submit_object, call, key)
            submitted, report = await receive(call, body_format, MAX_JSON_BYTES, use, advice=advice)
        else:
            if query.definition is None:
                raise Problem("bad_parameter", "the parameter definition is missing: the name of a definition")
            use = partial(_submit_stream, call, key, query, body_format)
            limit, reading = call.context.settings.max_upload_bytes, query.reading()
            submitted, report = await receive(call, body_format, limit, use, reading)
    if submitted.is_new:
        call.gateway.work.wake()
    found = await call.quick(view_batch, call.context, submitted.batch_id)
    headers = {"Location": f"/v1/batches/{submitted.batch_id}"}
    if not submitted.is_new:
        headers["Idempotent-Replayed"] = "true"
    return answer(batch_json(found) | report.members(), 201 if submitted.is_new else 200, headers)


@contextmanager
def submitting(call: ApiCall, key: str | None) -> Iterator[None]:
    """Let one request of this process at a time submit under an idempotency key.

    Raises:
        Problem: idempotency_in_progress.
    """
    name, under_way = (call.caller.submits_as, key or ""), call.gateway.submitting
    if key is not None and name in under_way:
        raise Problem("idempotency_in_progress", f"another request is submitting under the key {key!r} right now")
    if key is not None:
        under_way.add(name)
    try:
        yield
    finally:
        under_way.discard(name)


def submission_for(
    call: ApiCall, options: BatchBody | SubmitParameters, definition: str | Mapping[str, Any], key: str | None
) -> Submission:
    """Return what a caller submits, without its items.

    Raises:
        Problem: not_found, definition_not_allowed; invalid_request: the fair key.
    """
    return Submission(
        choose_definition(call.context, call.caller, definition),
        callback_url=options.callback_url,
        batch_callback_url=options.batch_callback_url,
        fallback_url=options.fallback_url,
        callback_schedule=options.callback_schedule,
        idempotency_key=key,
        fair_key=fair_key_for(call, options.fair_key),
        weight=options.weight,
        key_field=options.key_field,
        callback_url_field=options.callback_url_field,
        tenant=call.caller.submits_as,
        caller=read_traceparent(call.request.headers.get("traceparent")),
        exports=tuple((options.exports or "").split() if isinstance(options.exports, str | None) else options.exports),
        guards=_guards(options),
        is_local=False,
    )


def _guards(options: BatchBody | SubmitParameters) -> tuple[Guard, ...]:
    if isinstance(options, BatchBody):
        return tuple(read_guard(each) for each in options.guards)
    return () if options.guard is None else (parse_guard(options.guard),)


def fair_key_for(call: ApiCall, given: str | None) -> str:
    """Return the fair key of what a caller submits: its tenant, so that tenants share capacity evenly.

    Raises:
        Problem: invalid_request: it chooses another one.
    """
    tenant = call.caller.submits_as
    if tenant == DEFAULT_TENANT:
        return given or ""
    if given not in (None, tenant):
        detail = f"the fair key of this tenant's batches is {tenant!r}; leave it out"
        raise Problem("invalid_request", detail, errors=[{"parameter": "fair_key", "detail": detail}])
    return tenant


def _submit_stream(
    call: ApiCall, key: str | None, query: SubmitParameters, body_format: BodyFormat, body: UploadedBody
) -> tuple[Submitted, SubmitReport]:
    submission = submission_for(call, query, query.definition or "", key)
    report = SubmitReport(query.on_error)
    given = read_items_of(call.context, body, body_format, submission, query, report)
    submitted = submit(call.context, given, submission, on_reject=report.on_reject, body=body)
    if submitted.without_url:
        report.warn(f"{submitted.without_url:,} items have no callback URL in the field {query.callback_url_field!r}")
    return submitted, report


def read_items_of(
    context: Context,
    body: UploadedBody,
    body_format: BodyFormat,
    submission: Submission,
    options: ReadingParameters,
    report: SubmitReport,
) -> Generator[Given, None, None]:
    """Yield the items of a body. Nothing of it is received before the first one is asked for.

    Raises:
        InvalidInput: it cannot be read.
        Problem: it is too large, damaged, or an object where items are expected.
    """
    if body_format.is_parquet:
        reading = options.read_options(body_format)
        with (
            body.spool() as file,
            closing(open_input(context, ["-"], submission, reading, ReadReport(), stdin=file).read()) as read,
        ):
            bounded = body.bound_decoded(read)
            yield from bounded if options.items_are == "payloads" else _items_in(bounded)
        return
    stream = body.open()
    if body_format.is_json and stream.peek(1)[:64].lstrip().startswith(b"{"):
        raise Problem(
            "invalid_request",
            "the body is a JSON object, but the query has options; send an array, or all options in the object",
        )
    reading = options.read_options(body_format)
    read = open_input(context, ["-"], submission, reading, ReadReport(warn=report.warn), stdin=stream).read()
    yield from read if options.items_are == "payloads" else _items_in(read)


def _items_in(read: Iterator[Record | Rejection]) -> Iterator[Given]:
    """Yield the items that records describe, with their keys and callback URLs."""
    for each in read:
        if isinstance(each, Rejection):
            yield each
            continue
        problem = _problem_of_item(each.payload)
        yield Item(**each.payload) if problem is None else Rejection(each.line, problem, "")


def _submit_object(call: ApiCall, key: str | None, body: UploadedBody) -> tuple[Submitted, SubmitReport]:
    known = _known_unread(call, key, body)
    if known is not None:
        return known, SubmitReport("fail")
    text = body.open().read()
    _refuse_too_many_values(text)
    if text.lstrip()[:1] == b"[":
        raise Problem("bad_parameter", "the body is an array of items, so the parameter definition has to name one")
    options = validate(BatchBody, parse_json(text))
    report = SubmitReport(options.on_error)
    submission = submission_for(call, options, options.definition, key)
    if options.parts:
        _refuse_members_with_parts(options)
        return parts.open_upload(call.context, submission, body), report
    if not options.items:
        raise NoItems("the member items is absent or empty; give at least one item, or `parts: true`")
    given: list[Any] | Iterator[Given] = _read_items(options.items) if options.items_are == "items" else options.items
    try:
        return submit(call.context, given, submission, on_reject=report.on_reject, body=body), report
    except InvalidItems as error:
        raise _with_pointers(error) from None
    finally:
        report.errors = _pointed(report.errors)


def _refuse_too_many_values(text: bytes) -> None:
    """Refuse an object of more values than its size suggests: each takes fifty times the two bytes of `[]`.

    Raises:
        Problem: body_too_large.
    """
    if text.count(b",") > _MAX_VALUES and _STRING.sub(b"", text).count(b",") > _MAX_VALUES:
        detail = f"the body has more than {_MAX_VALUES:,} values; send items as a stream, such as application/x-ndjson"
        raise Problem("body_too_large", detail)


def _known_unread(call: ApiCall, key: str | None, body: UploadedBody) -> Submitted | None:
    """Return the batch that was submitted under a key, if the client waits for word before it sends the body again."""
    if key is None or not body.is_withheld:
        return None
    with call.context.database.read() as connection:
        row = find_submitted(connection, call.caller.submits_as, key)
    if row is None or row["body_digest"] is None:
        return None
    refuse_other_body(row, body)
    return Submitted(row["public_id"], row["id"], row["total"], is_new=False)


def _refuse_members_with_parts(options: BatchBody) -> None:
    misplaced = {"items", "items_are", "key_field", "callback_url_field", "on_error"} & options.model_fields_set
    if misplaced:
        errors = [{"pointer": pointer(name), "detail": "it belongs to each part"} for name in sorted(misplaced)]
        listed = ", ".join(sorted(misplaced))
        raise Problem("invalid_request", f"a batch with parts has no {listed}; give them with each part", errors=errors)


def _read_items(given: list[Any]) -> Iterator[Given]:
    for number, each in enumerate(given, 1):
        problem = _problem_of_item(each)
        if problem is None:
            yield Item(**each)
        else:
            yield Rejection(number, problem, "")


def _problem_of_item(given: Any) -> str | None:
    if not isinstance(given, dict):
        return "it is no object; an item is {payload, key, callback_url}"
    unknown = [name for name in given if name not in _MEMBERS_OF_ITEMS]
    if unknown:
        return f"it has the member {unknown[0][:80]!r}; an item has {', '.join(_MEMBERS_OF_ITEMS)}"
    if not isinstance(given.get("payload"), dict):
        return "its payload is no object"
    return None


def _with_pointers(error: InvalidItems) -> Problem:
    problem = problem_of(error)
    problem.errors = _pointed(problem.errors)
    return problem


def _pointed(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"pointer": pointer("items", each["line"] - 1), "detail": each["detail"]} for each in errors]


#: What a body of items can be refused for.
BODY_PROBLEMS = (
    "unsupported_media_type", "body_too_large", "bad_encoding", "digest_mismatch", "no_items", "invalid_items",
    "invalid_request", "busy", "storage_full",
)  # fmt: skip

OPERATIONS = (
    Operation(
        "batches.create", "POST", "/v1/batches", Scope.SUBMIT, "Submit a batch.", create,
        query=SubmitParameters, body=BatchBody, bodies=tuple(FORMATS), answer=SubmittedAnswer, status=201,
        problems=(
            *BODY_PROBLEMS, "bad_json", "bad_idempotency_key", "definition_not_allowed", "endpoint_owned", "not_found",
            "idempotency_in_progress", "idempotency_key_reused", "invalid_definition", "backlog_full",
            "outcome_unknown",
        ),
        other_statuses={200: "Done before."}, example={"definition": "tickets", "items": [{"body": "Refund?"}]},
    ),
)  # fmt: skip
