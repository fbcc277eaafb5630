"""Read the results of a batch: pages, lines that go on until its end, and tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import event_log
from pipeline.domain.api_key import Scope
from pipeline.domain.event import cut_data, item_event_type
from pipeline.domain.item import ItemState
from pipeline.http_api.call import ApiCall
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel, Flag, Parameters
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.cursors import check_seq, read_seq
from pipeline.http_api.streaming.download import Download, send_download
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.follow_lines import follow_lines
from pipeline.http_api.streaming.formats import join_page
from pipeline.http_api.streaming.live_response import LiveResponse
from pipeline.http_api.streaming.log_reading import RESULTS, EventFilter, read_page
from pipeline.http_api.streaming.media_types import JSON, ResultFormat, choose_format

#: Longest wait of a request, in seconds: shorter than what proxies allow for.
MAX_WAIT = 25
#: Largest number of events that one page looks at.
MAX_LIMIT = 10_000
AFTER = "The `seq` of the last event that you have, or `next` of the page before; 0: from the beginning."


class ResultsQuery(Parameters):
    """Which results, and how they are written."""

    after: str = Field("0", description=AFTER)
    limit: int = Field(1_000, ge=1, le=MAX_LIMIT, description="Events that a page looks at, at most.")
    wait: float = Field(
        0, ge=0, le=MAX_WAIT, description="Seconds to wait for a page that would be empty, while the batch goes on."
    )
    format: Literal["json", "ndjson", "csv", "tsv", "parquet", "xlsx"] | None = Field(
        None, description="How results are written. Default: as `Accept` says, otherwise pages of JSON."
    )
    follow: Flag = Field(False, description="NDJSON: go on until the batch is complete, with an empty line in silence.")
    end: Flag = Field(False, description="NDJSON: add a last line that says what the others cover.")
    state: Literal["succeeded", "dead", "cancelled"] | None = Field(None, description="Only results in this state.")
    label: str | None = Field(None, max_length=2_000, description="Only results with this label.")

    @property
    def chosen(self) -> EventFilter:
        """What passes."""
        types = RESULTS.types if self.state is None else frozenset({item_event_type(ItemState(self.state)).value})
        return EventFilter(types, self.label)


class ResultsPage(AnswerModel):
    """A page of results, in the order in which items finished."""

    data: list[dict[str, object]] = Field(description="Results, as callbacks have them under `data`.")
    next: int = Field(description="Send it as `after` to continue.")
    has_more: bool = Field(description="Whether more events were there already.")
    is_complete: bool = Field(description="Whether every item of the batch is final.")


async def results(call: ApiCall) -> Response:
    """Return results of a batch, in the format that is asked for."""
    query = call.parameters(ResultsQuery)
    chosen = _format(call, query)
    after = read_seq("after", query.after)
    batch = await call.batch()
    version = await call.quick(event_log.version, call.context, batch["id"])
    check_seq(after, version)
    if chosen is ResultFormat.JSON:
        return await _page(call, query, batch["id"], after)
    if query.follow:
        stream = call.gateway.streams.open(call.caller, call.request, Scope.READ)
        reader = FeedReader(call.gateway, stream, batch["id"], after)
        lines = follow_lines(call.gateway, reader, query.chosen, has_end=query.end)
        return LiveResponse(lines, call.gateway.streams, stream, media_type=chosen.media_type)
    wanted = Download(
        batch, version, chosen, after, state=query.state, label=query.label, chosen=query.chosen, has_end=query.end
    )
    return await send_download(call.gateway, call.caller, call.request, wanted)


def _format(call: ApiCall, query: ResultsQuery) -> ResultFormat:
    """Return the format; `follow` and `end` ask for NDJSON if nothing else is said.

    Raises:
        Problem: bad_parameter.
    """
    name = query.format or ("ndjson" if query.follow or query.end else None)
    chosen = choose_format(name, call.request.headers.get("accept", ""))
    if chosen is not ResultFormat.NDJSON:
        for option in ("follow", "end"):
            if getattr(query, option):
                raise _misplaced(option, "goes with format=ndjson")
    if chosen is not ResultFormat.JSON and query.wait:
        raise _misplaced("wait", "goes with pages; follow=true waits for further lines")
    return chosen


def _misplaced(name: str, detail: str) -> Problem:
    return Problem("bad_parameter", f"{name} {detail}", errors=[{"parameter": name, "detail": detail}])


async def _page(call: ApiCall, query: ResultsQuery, batch_id: int, after: int) -> Response:
    page, found = await read_page(
        call.gateway, batch_id, after, limit=query.limit, wait_seconds=query.wait, chosen=query.chosen
    )
    body = join_page(
        (cut_data(event.body) for event in found),
        next_seq=page.last_seq,
        has_more=page.has_more,
        is_complete=page.version.is_complete,
    )
    return Response(body, media_type=JSON)


OPERATIONS = (
    Operation(
        "results.list", "GET", "/v1/batches/{batch}/results", Scope.READ, "Read the results of a batch.", results,
        query=ResultsQuery, answer=ResultsPage, takes_token=True,
        answers=tuple(each.media_type for each in ResultFormat if each is not ResultFormat.JSON),
        problems=("bad_cursor", "cursor_ahead", "too_many_streams"),
    ),
)  # fmt: skip
