"""Read the event log of a batch: pages, and server-sent events. Watch all batches."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import event_log
from pipeline.batches.batch_view import BatchView
from pipeline.domain.api_key import Scope
from pipeline.domain.did_you_mean import hint
from pipeline.domain.event import EventType
from pipeline.http_api.call import ApiCall, encode
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations.batches import batch_json
from pipeline.http_api.operations.results import MAX_LIMIT, MAX_WAIT
from pipeline.http_api.parameters import AnswerModel, Parameters
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming import sse
from pipeline.http_api.streaming.cursors import LATEST, check_seq, read_seq
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.formats import join_page
from pipeline.http_api.streaming.live_response import LiveResponse
from pipeline.http_api.streaming.log_reading import EventFilter, read_page
from pipeline.http_api.streaming.media_types import EVENT_STREAM, JSON, accepts_events
from pipeline.http_api.streaming.overview import stream_overview


class EventsQuery(Parameters):
    """Which events."""

    after: str = Field(
        "0",
        description="The `seq` of the last event that you have; 0: from the beginning; `latest`: only what comes from "
        "now on. A stream takes the header `Last-Event-ID` instead, if it is sent.",
    )
    limit: int = Field(1_000, ge=1, le=MAX_LIMIT, description="Events that a page looks at, at most.")
    wait: float = Field(
        0, ge=0, le=MAX_WAIT, description="Seconds to wait for a page that would be empty, while the batch goes on."
    )
    types: str | None = Field(
        None, max_length=200, description="Only events of these types, such as `item.failed,batch.completed`."
    )


class EventPage(AnswerModel):
    """A page of events, in the order in which they happened."""

    data: list[dict[str, object]] = Field(description="Events, as callbacks have them.")
    next: int = Field(description="Send it as `after` to continue.")
    has_more: bool = Field(description="Whether more events were there already.")
    is_complete: bool = Field(description="Whether every item of the batch is final.")


async def events(call: ApiCall) -> Response:
    """Return events of a batch: a stream if `Accept` asks for one, otherwise a page."""
    query = call.parameters(EventsQuery)
    types = None if query.types is None else read_types("types", query.types.split(","))
    is_stream = accepts_events(call.request.headers.get("accept", ""))
    name, given = "after", query.after
    if is_stream and call.request.headers.get("last-event-id"):
        name, given = "Last-Event-ID", call.request.headers["last-event-id"]
    after = None if given == LATEST else read_seq(name, given)
    batch = await call.batch()
    version = await call.quick(event_log.version, call.context, batch["id"])
    after = version.last_seq if after is None else check_seq(after, version)
    if not is_stream:
        return await _page(call, query, batch["id"], after, EventFilter(types))
    if version.is_complete and after == version.last_seq:
        # The one answer after which `EventSource` does not connect again.
        return Response(status_code=204)
    stream = call.gateway.streams.open(call.caller, call.request, Scope.READ)
    reader = FeedReader(call.gateway, stream, batch["id"], after)
    chunks = sse.stream_events(call.gateway, stream, reader, types)
    return LiveResponse(chunks, call.gateway.streams, stream, media_type=EVENT_STREAM, headers=sse.HEADERS)


def read_types(name: str, given: Iterable[str]) -> frozenset[str]:
    """Return the types of events that a caller wants.

    Raises:
        Problem: bad_parameter: there is no such type.
    """
    known = [each.value for each in EventType]
    types = frozenset(each.strip() for each in given)
    for each in sorted(types.difference(known)):
        detail = f"there is no event {each[:80]!r}{hint(each, known)}; there are {', '.join(known)}"
        raise Problem("bad_parameter", detail, errors=[{"parameter": name, "detail": detail}])
    return types


async def _page(call: ApiCall, query: EventsQuery, batch_id: int, after: int, chosen: EventFilter) -> Response:
    page, found = await read_page(
        call.gateway, batch_id, after, limit=query.limit, wait_seconds=query.wait, chosen=chosen
    )
    body = join_page(
        (event.body for event in found),
        next_seq=page.last_seq,
        has_more=page.has_more,
        is_complete=page.version.is_complete,
    )
    return Response(body, media_type=JSON)


async def overview(call: ApiCall) -> Response:
    """Stream the state of all batches that the caller sees."""
    stream = call.gateway.streams.open(call.caller, call.request, Scope.READ)
    view = call.gateway.views.of(call.gateway, call.caller.sees)
    chunks = stream_overview(call.gateway, stream, view, _encode_batch)
    return LiveResponse(chunks, call.gateway.streams, stream, media_type=EVENT_STREAM, headers=sse.HEADERS)


def _encode_batch(found: BatchView) -> bytes:
    return encode(batch_json(found))


OPERATIONS = (
    Operation(
        "events.list", "GET", "/v1/batches/{batch}/events", Scope.READ, "Read or follow the event log of a batch.",
        events, query=EventsQuery, answer=EventPage, answers=(EVENT_STREAM,), is_stream=True, takes_token=True,
        problems=("bad_cursor", "cursor_ahead", "too_many_streams"),
        other_statuses={204: "A stream that was read to the end of a complete batch."},
    ),
    Operation(
        "batches.stream", "GET", "/v1/stream", Scope.READ,
        "Follow the state of all batches: the open ones and the 50 newest at first, then each one that changes.",
        overview, answers=(EVENT_STREAM,), is_stream=True, problems=("too_many_streams",),
    ),
)  # fmt: skip
