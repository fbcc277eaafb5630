"""Read the results of a batch: pages, lines that go on until its end, and tables."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batches import event_log
from pipeline.batches.event_log import BatchVersion
from pipeline.database.row import Row
from pipeline.domain.api_key import Scope
from pipeline.domain.event import item_event_type
from pipeline.domain.item import ItemState
from pipeline.http_api.call import ApiCall
from pipeline.http_api.compression import compress_chunks, wants_gzip
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel, Flag, Parameters
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.cursors import check_seq, read_seq
from pipeline.http_api.streaming.export import TableExport, stream_file, stream_text
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.follow_lines import follow_lines
from pipeline.http_api.streaming.formats import cut_data, join_page
from pipeline.http_api.streaming.live_response import LiveResponse
from pipeline.http_api.streaming.log_reading import RESULTS, EventFilter, download_lines, read_page
from pipeline.http_api.streaming.media_types import JSON, ResultFormat, choose_format
from pipeline.http_api.streaming.open_streams import OpenStream

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
    if chosen.is_file:
        return await _table(call, query, batch, after, version, chosen)
    if query.follow:
        stream = call.gateway.streams.open(call.caller, call.request, Scope.READ)
        reader = FeedReader(call.gateway, stream, batch["id"], after)
        lines = follow_lines(call.gateway, reader, query.chosen, has_end=query.end)
        return LiveResponse(lines, call.gateway.streams, stream, media_type=chosen.media_type)
    lines = download_lines(call.gateway, batch["id"], after, version, query.chosen, has_end=query.end)
    return _download(call, lines, version, chosen)


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


async def _table(
    call: ApiCall,
    query: ResultsQuery,
    batch: Row,
    after: int,
    version: BatchVersion,
    chosen: ResultFormat,
) -> Response:
    export = TableExport(call.context, batch["id"], after, version.last_seq, state=query.state, label=query.label)
    if chosen in (ResultFormat.CSV, ResultFormat.TSV):
        chunks = stream_text(call.gateway, export, chosen)
    else:
        chunks = stream_file(call.gateway, await call.bulk(export.file, chosen))
    response = _download(call, chunks, version, chosen)
    name = f"{batch['public_id']}.{chosen.value}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _download(call: ApiCall, chunks: AsyncGenerator[bytes], version: BatchVersion, chosen: ResultFormat) -> Response:
    """Return a response that ends with what there is now, and says what that is."""
    headers = {
        "Pipeline-Last-Seq": str(version.last_seq),
        "Pipeline-Complete": str(version.is_complete).lower(),
        "Accept-Ranges": "none",
        "Vary": "Accept, Accept-Encoding",
    }
    if wants_gzip(call.request):
        chunks = compress_chunks(chunks)
        headers["Content-Encoding"] = "gzip"
    # It ends soon by itself, so it is not counted among the streams.
    stream = OpenStream(call.caller, call.request, Scope.READ)
    return LiveResponse(chunks, call.gateway.streams, stream, media_type=chosen.media_type, headers=headers)


OPERATIONS = (
    Operation(
        "results.list", "GET", "/v1/batches/{batch}/results", Scope.READ, "Read the results of a batch.", results,
        query=ResultsQuery, answer=ResultsPage, takes_token=True,
        answers=tuple(each.media_type for each in ResultFormat if each is not ResultFormat.JSON),
        problems=("bad_cursor", "cursor_ahead", "too_many_streams"),
    ),
)  # fmt: skip
