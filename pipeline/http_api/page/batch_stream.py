"""Live counts: the progress of one batch, or of all that a visitor sees, as it changes."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from pipeline.batches.batch_view import BatchView
from pipeline.domain.api_key import Scope
from pipeline.http_api.call import encode
from pipeline.http_api.page.visit import Visit, stream_visitor
from pipeline.http_api.streaming import sse
from pipeline.http_api.streaming.live_response import LiveResponse
from pipeline.http_api.streaming.media_types import EVENT_STREAM
from pipeline.http_api.streaming.overview import stream_overview

_COUNTS = ("total", "final", "succeeded", "dead", "cancelled", "waiting", "in_flight", "running", "is_complete")


async def stream(visit: Visit) -> Response:
    """Stream the counts of batches.

    Everybody who watches shares one look at the database, twice a second at most.
    """
    visit.check(Scope.READ)
    gateway, name = visit.gateway, visit.query.get("batch")
    batch_id = None if name is None else (await visit.batch(name))["id"]
    opened = gateway.streams.open(
        visit.caller, visit.request, Scope.READ, authenticate=partial(stream_visitor, gateway)
    )
    view = gateway.views.of(gateway, visit.caller.sees)
    chunks = stream_overview(gateway, opened, view, _encoded, batch_id=batch_id)
    return LiveResponse(chunks, gateway.streams, opened, media_type=EVENT_STREAM, headers=sse.HEADERS)


def _encoded(view: BatchView) -> bytes:
    found = view.progress
    counts: dict[str, Any] = {name: getattr(found, name) for name in _COUNTS}
    return encode({"batch": found.batch_id, "state": found.state.value, "created_at": found.created_at, **counts})
