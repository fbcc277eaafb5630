"""Problems: what every refused or failed request is answered with, as RFC 9457 has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from pipeline import errors
from pipeline.access.keys import BadKey, ExpiredKey, RevokedKey
from pipeline.access.stream_tokens import BadToken
from pipeline.batches.part_errors import ItemsMismatch, NotAccepting, PartDiffers, PartInProgress, PartsMissing
from pipeline.crypto.encryption import CannotDecrypt
from pipeline.errors import PipelineError

MEDIA_TYPE = "application/problem+json"
#: Errors listed in one problem.
MAX_ERRORS = 1_000


class Kind(NamedTuple):
    """A kind of problem: its HTTP status, its title, and what a caller can do about it."""

    status: int
    title: str
    advice: str


#: Every kind of problem, by its code.
KINDS: dict[str, Kind] = {
    "bad_json": Kind(400, "The body is not valid JSON", "Send UTF-8 JSON; `detail` says where it breaks."),
    "bad_parameter": Kind(400, "A query parameter cannot be used", "`errors` names it and what it may be."),
    "bad_cursor": Kind(400, "A position cannot be read", "Send `next` or the `seq` of an event as you got it, or 0."),
    "bad_subprotocol": Kind(400, "The WebSocket has another protocol", "Ask for the subprotocol `pipeline.v1`."),
    "bad_encoding": Kind(400, "The compressed body is damaged", "Compress it again with gzip, once."),
    "bad_idempotency_key": Kind(400, "The idempotency key cannot be used", "Send 1 to 255 characters of ASCII."),
    "digest_mismatch": Kind(400, "The body is not the one announced", "Send it again; nothing was stored."),
    "bad_request": Kind(400, "The request is malformed", "`detail` says what HTTP requires."),
    "key_in_url": Kind(400, "An API key is in the URL", "Revoke it: logs keep URLs. Send `Authorization: Bearer`."),
    "no_key": Kind(401, "An API key is missing", "Send `Authorization: Bearer pipe_…`."),
    "bad_key": Kind(401, "The API key is mistyped or unknown", "Copy it again, or ask for a new one."),
    "expired_key": Kind(401, "The API key has expired", "Ask for a new one."),
    "revoked_key": Kind(401, "The API key was revoked", "Ask for a new one."),
    "bad_token": Kind(401, "The stream token is unknown or has expired", "Make one with `POST /v1/stream-tokens`."),
    "scope_missing": Kind(403, "The API key may not do this", "Use a key with the scope that `detail` names."),
    "cross_site": Kind(403, "The request comes from another site", "Send it from the page itself, or with a key."),
    "cross_origin": Kind(403, "Pages of this origin may not call the API", "Add it to `PIPELINE_CORS_ORIGINS`."),
    "definition_not_allowed": Kind(
        403, "The definition needs the scope admin", "Name a stored definition, or use a key with the scope `admin`."
    ),
    "endpoint_owned": Kind(403, "The endpoint belongs to another tenant", "Send callbacks to an endpoint of yours."),
    "not_found": Kind(404, "There is no such thing", "Check the id; other tenants' things are not found either."),
    "method_not_allowed": Kind(405, "The path has no such method", "`Allow` lists its methods."),
    "request_timeout": Kind(408, "The request came too slowly", "Send it again; split a large body into parts."),
    "conflict": Kind(409, "The request contradicts what is stored", "`detail` says what is stored."),
    "cannot_decrypt": Kind(
        409, "The server cannot use its secrets", "Set `PIPELINE_ENCRYPTION_KEY` on the server; `detail` says which."
    ),
    "cursor_ahead": Kind(409, "The log ends before this position", "Begin again with `after=0`."),
    "not_dead": Kind(409, "The item is not dead", "Only dead items can be replayed."),
    "definition_is_a_file": Kind(409, "The definition is a file of the server", "Store yours under another name."),
    "idempotency_in_progress": Kind(
        409, "The same submission is under way", "Wait for `Retry-After` seconds and send it again to get its answer."
    ),
    "not_accepting": Kind(409, "The batch takes no parts", "It was sealed, given up, or not uploaded in parts."),
    "part_differs": Kind(409, "The part is stored with other content", "Send `replace=true` to replace it."),
    "part_in_progress": Kind(409, "The part is being written", "Wait for `Retry-After` seconds and send it again."),
    "parts_missing": Kind(409, "Parts are missing", "`missing` has their numbers; PUT them and seal again."),
    "items_mismatch": Kind(409, "The parts have other items than expected", "GET the parts to compare them."),
    "wrong_state": Kind(409, "The state does not allow this", "`detail` names the state."),
    "precondition_failed": Kind(412, "It was changed in the meantime", "Get it again, and decide anew."),
    "body_too_large": Kind(413, "The body is too large", "`detail` names the limit and what to send instead."),
    "uri_too_long": Kind(414, "The path and query are too long", "`detail` names the limit."),
    "unsupported_media_type": Kind(415, "The body has a type that cannot be read", "`detail` lists the types."),
    "wrong_host": Kind(421, "The server is not known by this name", "Use the address that `pipeline serve` printed."),
    "invalid_request": Kind(422, "A value cannot be used", "`errors` points to it."),
    "invalid_items": Kind(422, "Items were refused", "`errors` has the lines; nothing was stored."),
    "no_items": Kind(422, "There are no items", "Send at least one."),
    "idempotency_key_reused": Kind(
        422, "The idempotency key belongs to another submission", "`fields` says what differs; use another key."
    ),
    "invalid_definition": Kind(422, "The definition cannot be run", "`detail` names the field."),
    "upgrade_required": Kind(426, "The path is a WebSocket", "Open it as a WebSocket, or follow a batch's events."),
    "rate_limited": Kind(429, "Too many requests", "Wait for `Retry-After` seconds."),
    "headers_too_large": Kind(431, "The headers are too large", "`detail` names the limit."),
    "too_many_streams": Kind(429, "Too many streams are open", "Close one, or share a WebSocket between batches."),
    "too_many_failures": Kind(429, "Too many requests without a valid key", "Use a valid key; wait for `Retry-After`."),
    "backlog_full": Kind(429, "Too many items wait", "Wait for `Retry-After` seconds and submit again."),
    "internal": Kind(500, "The server failed", "It is our fault: report it with the request id."),
    "busy": Kind(503, "The server is busy", "Wait for `Retry-After` seconds and send the request again."),
    "too_many_connections": Kind(503, "Too many connections are open", "Close some, or wait `Retry-After` seconds."),
    "database_unreachable": Kind(503, "The database does not answer", "Wait, and send the request again."),
    "outcome_unknown": Kind(
        503, "It is unknown whether the batch was accepted", "Send the same with the same idempotency key."
    ),
    "wrong_schema": Kind(503, "The database has another version", "Run `pipeline db upgrade`."),
    "storage_full": Kind(507, "The disk of the database is full", "Free space, and send the request again."),
}

#: The code that answers an error of the library; the most specific class first.
_CODES: tuple[tuple[type[PipelineError], str], ...] = (
    (BadKey, "bad_key"),
    (ExpiredKey, "expired_key"),
    (RevokedKey, "revoked_key"),
    (BadToken, "bad_token"),
    (NotAccepting, "not_accepting"),
    (PartDiffers, "part_differs"),
    (PartInProgress, "part_in_progress"),
    (PartsMissing, "parts_missing"),
    (ItemsMismatch, "items_mismatch"),
    (errors.NoItems, "no_items"),
    (errors.InvalidItems, "invalid_items"),
    (errors.InvalidDefinition, "invalid_definition"),
    (errors.NotFound, "not_found"),
    (errors.EndpointOwned, "endpoint_owned"),
    (CannotDecrypt, "cannot_decrypt"),
    (errors.InvalidInput, "invalid_request"),
    (errors.DatabaseFull, "storage_full"),
    (errors.OutcomeUnknown, "outcome_unknown"),
    (errors.Unreachable, "database_unreachable"),
    (errors.WrongSchema, "wrong_schema"),
    (errors.IdempotencyMismatch, "idempotency_key_reused"),
    (errors.SubmissionInProgress, "idempotency_in_progress"),
    (errors.BacklogFull, "backlog_full"),
    (errors.Conflict, "conflict"),
)
#: What `reason` may say of a request that is invalid: codes of errors of the library.
REASONS = frozenset({"invalid_callback_url", "forbidden_callback_url", "invalid_header", "invalid_secret"})
#: Seconds after which a request may be sent again.
_RETRY_AFTER = {
    "busy": "5",
    "too_many_connections": "5",
    "database_unreachable": "2",
    "outcome_unknown": "2",
    "backlog_full": "30",
    "idempotency_in_progress": "1",
    "part_in_progress": "1",
}
#: Advice of the library in words of the command line, and the same in words of the API; the longer ones first.
_WORDS = (
    (
        "which cannot be read from standard input or with compression; save it to a plain file and give its name with "
        "--format parquet",
        "no text; send it as application/vnd.apache.parquet",
    ),
    ("name its format with --format jsonl", "send it as application/x-ndjson"),
    ("name its format with --format json", "send it as application/json"),
    ("with --encoding", "by `charset=` in Content-Type"),
    ("leave out --encoding", "leave out `charset=`"),
    ("--encoding ", "charset="),
    ("--header lenient", "header=lenient"),
    ("--strict", "strict=true"),
    ("; `pipeline status` lists them", "; GET /v1/batches lists them"),
)


class Problem(Exception):
    """A request cannot be answered as it was meant.

    Args:
        code: one of `KINDS`.
        detail: what happened, with the value, and what to do.
        errors: what is wrong at which line, parameter or pointer, each with its `detail`.
        headers: further headers of the answer.
        members: further members of the body, such as `nearest`.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.errors = code, detail, errors
        self.headers, self.members = dict(headers or {}), members

    @property
    def status(self) -> int:
        return KINDS[self.code].status

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem."""
        kind = KINDS[self.code]
        found: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.errors:
            found["errors"] = [dict(each) for each in self.errors[:MAX_ERRORS]]
            found["error_count"] = len(self.errors)
        return found | self.members

    def response(self, request_id: str) -> Response:
        """Return the answer of the server."""
        headers = self.headers
        if self.status == 401:
            headers.setdefault("WWW-Authenticate", "Bearer")
        if self.code in _RETRY_AFTER:
            headers.setdefault("Retry-After", _RETRY_AFTER[self.code])
        return Response(orjson.dumps(self.body(request_id)), self.status, headers, MEDIA_TYPE)


def problem_of(error: PipelineError) -> Problem:
    """Return the problem that answers an error of the library."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal")
    if code == "internal":
        return internal()
    text = in_api_words(str(error))
    if isinstance(error, errors.InvalidItems):
        lines = [{"line": each.line, "detail": in_api_words(each.reason)} for each in error.rejections]
        members: dict[str, Any] = {"error_count": error.count} if lines else {}
        return Problem(code, text, errors=lines, **members)
    if isinstance(error, errors.IdempotencyMismatch):
        detail = (
            f"the idempotency key {error.key!r} belongs to batch {error.batch_id}, which has another "
            f"{' and another '.join(error.fields)}; use another key for another submission"
        )
        return Problem(code, detail, batch_id=error.batch_id, fields=list(error.fields))
    if isinstance(error, errors.OutcomeUnknown):
        detail = f"the connection to the database was lost when batch {error.batch_id} was to be accepted"
        return Problem(code, f"{detail}; send the same with the same Idempotency-Key", batch_id=error.batch_id)
    if isinstance(error, PartsMissing):
        return Problem(code, text, missing=list(error.missing))
    # For the Python client, which raises the class that the embedded client would.
    members = {"reason": error.code} if error.code in REASONS else {}
    return Problem(code, text, **members)


def in_api_words(text: str) -> str:
    """Return a message of the library as a caller of the API understands it: without options of commands."""
    for of_commands, of_api in _WORDS:
        text = text.replace(of_commands, of_api)
    return text


def internal() -> Problem:
    """Return the problem for a bug: nothing of the exception leaves the server."""
    return Problem("internal", "the server failed; the log has the details under the request id")
