"""A call: one request that was admitted, with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from pipeline.access.caller import Caller
from pipeline.batches.find import find_owned_batch, unknown_batch
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import read_json
from pipeline.http_api.problems import Problem

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

#: Bytes of a JSON body that has items. Items in any number go as a stream.
MAX_JSON_BYTES = 10 * 1024 * 1024
#: Bytes of any other JSON body, such as ten thousand ids; and per byte of the largest payload.
_MAX_REQUEST_BYTES, _PER_PAYLOAD_BYTE = 1024 * 1024, 2


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request that was admitted.

    Args:
        caller: who makes it; its scope was checked.
        request_id: as the answer and the log name it.
        query: its parameters, an instance of `operation.query`.
    """

    gateway: Gateway
    operation: Operation
    request: Request
    caller: Caller
    request_id: str
    query: BaseModel | None

    @property
    def context(self) -> Context:
        """The context of the use cases."""
        return self.gateway.context.acting_as(self.caller.actor)

    def path(self, name: str) -> str:
        """Return a part of the path by its name."""
        return cast(str, self.request.path_params[name])

    def parameters(self, model: type[M]) -> M:
        """Return the parameters, as the model that the operation declares."""
        assert isinstance(self.query, model)
        return self.query

    async def quick(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a use case that ends soon; see `Pool.run`."""
        return await self.gateway.quick.run(function, *args, **options)

    async def bulk(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a use case that reads or writes a whole batch; see `Pool.run_for`."""
        return await self.gateway.bulk.run_for(self.caller.key_id, function, *args, **options)

    def refuse_if_busy(self) -> None:
        """Raise `Problem` (busy) if `bulk` would now: before a body is read."""
        self.gateway.bulk.refuse_if_taken(self.caller.key_id)

    async def json(self, model: type[M], *, is_optional: bool = False) -> M:
        """Read the JSON body.

        Args:
            is_optional: whether a request without a body stands for an empty object.

        Raises:
            Problem: unsupported_media_type, body_too_large, bad_json, invalid_request.
        """
        # Twice: text may be escaped.
        limit = max(_MAX_REQUEST_BYTES, _PER_PAYLOAD_BYTE * self.context.settings.max_payload_bytes)
        if is_optional and "content-type" not in self.request.headers and not await self.read_body(limit):
            return read_json(model, b"{}")
        media_type = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem(
                "unsupported_media_type",
                f"the body has the type {media_type[:80]!r}; send application/json",
                headers={"Accept": "application/json"},
            )
        # In a thread: it takes longer than other requests should wait.
        return await self.quick(read_json, model, await self.read_body(limit))

    async def read_body(self, limit: int) -> bytes:
        """Read the whole body.

        Raises:
            Problem: body_too_large: it has more bytes than `limit`.
        """
        announced = self.request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        chunks, size = [], 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
        return b"".join(chunks)

    async def batch(self, name: str = "batch") -> Row:
        """Return the row of the batch that the path names.

        Raises:
            NotFound: there is none that the caller may see.
        """
        return await self.batch_named(self.path(name))

    async def batch_named(self, public_id: str) -> Row:
        """Return the row of the batch with exactly this id.

        Raises:
            NotFound: there is none that the caller may see.
        """
        return await self.quick(visible_batch, self.context, self.caller, public_id)

    def unchanged(self) -> None:
        """Note that this call changes nothing, whatever its method: it is no change to log."""
        self.request.state.is_change = False


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer. Times are UTC, in ISO 8601 with microseconds and `Z`."""
    return Response(encode(value), status, dict(headers or {}), "application/json")


def encode(value: Any) -> bytes:
    """Return a value as JSON, as `answer` does."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} has no JSON")


def visible_batch(context: Context, caller: Caller, public_id: str) -> Row:
    """Return the row of the batch with exactly this id.

    Raises:
        NotFound: there is none that the caller may see.
    """
    with context.database.read() as connection:
        row = find_owned_batch(connection, public_id, caller.sees)
    if caller.only_batch not in (None, row["id"]):
        raise unknown_batch(public_id)
    return row


def _too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"the body of this request has at most {limit:,} bytes")
