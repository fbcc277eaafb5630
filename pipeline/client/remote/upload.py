"""Submits items to a server: one request if they are few, otherwise parts, of which each can be sent again."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from pipeline.client.remote.answers import value_of
from pipeline.client.remote.server import Server, segment
from pipeline.domain import payload
from pipeline.domain.item import Item
from pipeline.domain.payload import Rejection
from pipeline.domain.portions import portions
from pipeline.errors import InvalidInput, InvalidItems, NoItems
from pipeline.telemetry.traceparent import TraceContext

#: Bounds of one request: what has to be sent again if it fails.
PART_ITEMS, PART_BYTES = 5_000, 8 * 1024 * 1024
_LINES = "application/x-ndjson"
#: Refused items that a message lists.
_LISTED = 10


class Listeners(NamedTuple):
    """Who hears of each refused item, and of the number of items stored so far."""

    on_reject: Callable[[Rejection], object] | None
    on_progress: Callable[[int], object] | None


def upload(
    server: Server,
    items: Iterable[Item | Mapping[str, Any]],
    of_batch: Mapping[str, Any],
    of_parts: Mapping[str, str | None],
    idempotency_key: str | None,
    listeners: Listeners,
    caller: TraceContext | None = None,
) -> tuple[dict[str, Any], bool]:
    """Submit items and return the batch as the server shows it, and whether it is new.

    Args:
        of_batch: options of the batch; those that are None are left out.
        of_parts: how the items of each part are read.
        caller: the span in which they are submitted.

    Without a key one is made, so that a request whose answer was lost can be sent again.

    Raises:
        InvalidItems: an item was refused; nothing is stored.
        PipelineError: see `value_of`.
    """
    key = idempotency_key or f"client-{token_hex(16)}"
    parts = portions(_lines(items), len, count=PART_ITEMS, size_limit=PART_BYTES)
    traced = {} if caller is None else {"traceparent": str(caller)}
    opened = server.send(
        "POST",
        "/v1/batches",
        payload.encode_bytes({**_given(of_batch), "parts": True}, max_bytes=PART_BYTES),
        headers={"Idempotency-Key": key, "Content-Type": "application/json", **traced},
        is_repeatable=True,
    )
    batch = value_of(opened)
    if batch["state"] != "accepting":
        return batch, False
    path = f"/v1/batches/{segment(batch['batch_id'])}"
    try:
        number = _send_parts(server, path, parts, of_parts, listeners)
        if not number:
            raise NoItems("there are no items to accept")
        return server.change("POST", f"{path}/seal", {"parts": number}, is_repeatable=True), True
    except BaseException:
        # Nothing stays behind of a submission that failed; an abandoned batch would go by itself after a day.
        _give_up(server, path)
        raise


def _send_parts(
    server: Server,
    path: str,
    parts: Iterable[list[bytes]],
    of_parts: Mapping[str, str | None],
    listeners: Listeners,
) -> int:
    on_reject, on_progress = listeners
    number = stored = sent = 0
    on_error = "fail" if on_reject is None else "skip"
    for number, part in enumerate(parts, 1):
        body = b"\n".join(part)
        digest = b64encode(hashlib.sha256(body).digest()).decode()
        answer = server.send(
            "PUT",
            f"{path}/parts/{number}",
            body,
            query={**of_parts, "items_are": "items", "on_error": on_error},
            headers={"Content-Type": _LINES, "Content-Digest": f"sha-256=:{digest}:"},
            is_repeatable=True,
        )
        try:
            found = value_of(answer)
        except InvalidItems as error:
            raise _as_submitted(error, part, sent) from None
        for each in found.get("errors", ()):
            assert on_reject is not None
            on_reject(_rejection(each["line"], each["detail"], part, sent))
        sent += len(part)
        stored += found["items"]
        if on_progress is not None:
            on_progress(stored)
    return number


def _rejection(line: int, reason: str, part: list[bytes], sent: int) -> Rejection:
    """Return a rejection as the embedded client has it.

    Args:
        line: in the part; items are counted in the submission.
        sent: items before the part.
    """
    refused = orjson.loads(part[line - 1])["payload"] if 0 < line <= len(part) else ""
    return Rejection(sent + line, reason, payload.to_text(refused))


def _as_submitted(error: InvalidItems, part: list[bytes], sent: int) -> InvalidItems:
    """Return the error of a part as that of the submission, with its lines and the refused items."""
    if not error.rejections:
        return error
    rejections = tuple(_rejection(each.line, each.reason, part, sent) for each in error.rejections)
    lines = [f"{error.count:,} of the items cannot be accepted, so none were:"]
    lines += [f"  line {each.line}: {each.reason}" for each in rejections[:_LISTED]]
    if error.count > _LISTED:
        lines.append(f"  … and {error.count - min(len(rejections), _LISTED):,} more")
    return InvalidItems("\n".join(lines), rejections, error.count)


def _lines(items: Iterable[Item | Mapping[str, Any]]) -> Iterator[bytes]:
    for position, given in enumerate(items, 1):
        item = given if isinstance(given, Item) else Item(given)
        line: dict[str, Any] = {"payload": item.payload}
        if item.key is not None:
            line["key"] = item.key
        if item.callback_url is not None:
            line["callback_url"] = item.callback_url
        try:
            yield payload.encode_bytes(line, max_bytes=PART_BYTES)
        except InvalidInput as error:
            raise InvalidItems(f"item {position}: {error}") from None


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _give_up(server: Server, path: str) -> None:
    try:
        server.send("DELETE", path, is_repeatable=False)
    except Exception:
        # The server removes it after a day.
        return
