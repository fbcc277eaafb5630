"""Write stored events as each way of reading has them. Bodies are cut and joined, never parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from pipeline.batches.event_log import BatchVersion, StoredEvent
from pipeline.domain.event import RESULT_TYPES, cut_data

Renderer = Callable[[Iterable[StoredEvent]], bytes]


def results_as_lines(events: Iterable[StoredEvent]) -> bytes:
    """Return the results among events as NDJSON."""
    return b"".join(cut_data(event.body) + b"\n" for event in events if event.type in RESULT_TYPES)


def server_sent(events: Iterable[StoredEvent]) -> bytes:
    """Return events as server-sent ones. A body is one line: JSON escapes line ends inside text."""
    return b"".join(b"id: %d\nevent: %b\ndata: %b\n\n" % (each.seq, each.type.encode(), each.body) for each in events)


def server_sent_event(name: str, data: Mapping[str, Any]) -> bytes:
    """Return a server-sent event without an id: it is not in the log, so a reader does not continue after it."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def join_page(values: Iterable[bytes], *, next_seq: int, has_more: bool, is_complete: bool) -> bytes:
    """Return a page whose values are JSON already."""
    rest = orjson.dumps({"next": next_seq, "has_more": has_more, "is_complete": is_complete})
    return b'{"data":[' + b",".join(values) + b"]," + rest[1:]


def socket_event(batch: str, event: StoredEvent) -> str:
    """Return the WebSocket message that carries an event."""
    return f'{{"op":"event","batch":"{batch}","seq":{event.seq},"event":{event.body.decode()}}}'


def end_data(version: BatchVersion) -> dict[str, Any]:
    """Return what the end of a stream says about the batch."""
    return {
        "last_seq": version.last_seq,
        "state": version.state.value,
        "succeeded": version.succeeded,
        "dead": version.dead,
        "cancelled": version.cancelled,
    }
