"""Results of a batch as one file: what there is now, and what that covers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.requests import Request

from pipeline.access.caller import Caller
from pipeline.batches.event_log import BatchVersion
from pipeline.database.row import Row
from pipeline.domain.api_key import Scope
from pipeline.http_api.compression import compress_chunks, wants_gzip
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.streaming.export import TableExport, stream_file, stream_text
from pipeline.http_api.streaming.live_response import LiveResponse
from pipeline.http_api.streaming.log_reading import RESULTS, EventFilter, download_lines
from pipeline.http_api.streaming.media_types import ResultFormat
from pipeline.http_api.streaming.open_streams import OpenStream


@dataclass(frozen=True, slots=True)
class Download:
    """Which results of a batch to send.

    Args:
        version: the batch as it is now; the file ends with its newest event.
        after: the `seq` to begin after.
        state, label: for tables; None: any.
        chosen: the same for lines.
        has_end: for lines: add one that says what the others cover.
    """

    batch: Row
    version: BatchVersion
    format: ResultFormat
    after: int = 0
    state: str | None = None
    label: str | None = None
    chosen: EventFilter = RESULTS
    has_end: bool = False

    @property
    def file_name(self) -> str:
        return f"{self.batch['public_id']}.{self.format.value}"


async def send_download(gateway: Gateway, caller: Caller, request: Request, wanted: Download) -> LiveResponse:
    """Return the response to a request for results as one file."""
    headers = {
        "Pipeline-Last-Seq": str(wanted.version.last_seq),
        "Pipeline-Complete": str(wanted.version.is_complete).lower(),
        "Accept-Ranges": "none",
        "Vary": "Accept, Accept-Encoding",
    }
    if wanted.format.is_file:
        headers["Content-Disposition"] = f'attachment; filename="{wanted.file_name}"'
    chunks = await _chunks(gateway, wanted)
    if wants_gzip(request):
        chunks = compress_chunks(chunks)
        headers["Content-Encoding"] = "gzip"
    # It ends soon by itself, so it is not counted among the streams.
    stream = OpenStream(caller, request, Scope.READ)
    return LiveResponse(chunks, gateway.streams, stream, media_type=wanted.format.media_type, headers=headers)


async def _chunks(gateway: Gateway, wanted: Download) -> AsyncGenerator[bytes]:
    batch_id, after, version = wanted.batch["id"], wanted.after, wanted.version
    if wanted.format is ResultFormat.NDJSON:
        return download_lines(gateway, batch_id, after, version, wanted.chosen, has_end=wanted.has_end)
    export = TableExport(gateway.context, batch_id, after, version.last_seq, state=wanted.state, label=wanted.label)
    if wanted.format in (ResultFormat.CSV, ResultFormat.TSV):
        return stream_text(gateway, export, wanted.format)
    return stream_file(gateway, await gateway.bulk.run(export.file, wanted.format))
