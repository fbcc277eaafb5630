"""Results as a table, in the columns of `pipeline results`."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from typing import BinaryIO

from pipeline.batches import results
from pipeline.context import Context
from pipeline.errors import PipelineError
from pipeline.files import open_writer
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.live_response import CutOff
from pipeline.http_api.streaming.media_types import ResultFormat

#: Kept in memory of a file that has to be complete before its first byte can be sent; the rest is on the disk.
_MAX_MEMORY_BYTES = 8 * 2**20
_BLOCK_BYTES = 256 * 1024


class TableExport:
    """Writes the results of a batch between two positions.

    Args:
        until: the `seq` of the last event to look at.
        state, label: only these results; None: any.
    """

    def __init__(
        self, context: Context, batch_id: int, after: int, until: int, *, state: str | None, label: str | None
    ) -> None:
        self._context, self._batch_id = context, batch_id
        self._seq, self._until = after, until
        self._state, self._label = state, label

    def blocks(self, format: ResultFormat) -> Iterator[bytes]:
        """Yield the file in pieces, each while more of the log is read: for formats that are text."""
        buffer = io.BytesIO()
        with ExitStack() as stack:
            writer = stack.enter_context(open_writer("-", format.value, stdout=buffer))
            for page in self._pages():
                for result in page:
                    writer.write(result)
                writer.flush()
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()

    def file(self, format: ResultFormat) -> BinaryIO:
        """Return the file, complete and at its beginning. The system deletes it when it is closed."""
        spooled = tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES)  # noqa: SIM115
        try:
            with open_writer("-", format.value, stdout=spooled) as writer:  # type: ignore[arg-type]
                for page in self._pages():
                    for result in page:
                        writer.write(result)
            spooled.seek(0)
        except BaseException:
            spooled.close()
            raise
        return spooled  # type: ignore[return-value]  # it has the methods

    def _pages(self) -> Iterator[list[dict[str, object]]]:
        while self._seq < self._until:
            limit = min(results.PAGE, self._until - self._seq)
            page = results.page(self._context, self._batch_id, self._seq, limit)
            self._seq = page.last_seq
            yield [each for each in page.results if self._passes(each)]

    def _passes(self, result: dict[str, object]) -> bool:
        return self._state in (None, result["state"]) and self._label in (None, result["label"])


async def stream_text(gateway: Gateway, export: TableExport, format: ResultFormat) -> AsyncGenerator[bytes]:
    """Yield a file of text while it is written. No thread is held while the reader takes it.

    Raises:
        CutOff: something failed on the way.
    """
    blocks = export.blocks(format)
    try:
        while True:
            block = await gateway.quick.run(next, blocks, None)
            if block is None:
                return
            if block:
                yield block
    except (PipelineError, Problem):
        raise CutOff from None


async def stream_file(gateway: Gateway, file: BinaryIO) -> AsyncGenerator[bytes]:
    """Yield the content of a file, and close it."""
    with file:
        while block := await gateway.quick.run(file.read, _BLOCK_BYTES):
            yield block
