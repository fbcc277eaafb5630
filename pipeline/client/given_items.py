"""What may be submitted from Python: payloads, data frames and sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.batches.read_input import open_input
from pipeline.batches.streamed.resume import SourceItems
from pipeline.batches.submission import Submission
from pipeline.batches.validate import Given
from pipeline.client.item_stream import ItemStream
from pipeline.client.source_reader import SourceReader
from pipeline.context import Context
from pipeline.domain.item import Item
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidItems
from pipeline.sources import ReadOptions, ReadReport
from pipeline.sources.columnar.frame import is_frame, read_frame

Through = Callable[[Iterable[Given]], Iterable[Given]]


def to_submit(given: Any, context: Context, submission: Submission, through: Through) -> Iterable[Given] | SourceItems:
    """Return what was given as items to submit.

    Args:
        given: items, a data frame, a `SourceReader`, or a stream of one of them.
        through: what each reading goes through, such as a check whether the client is open.

    Raises:
        InvalidInput: a location of a source cannot be used.
    """
    if isinstance(given, ItemStream) and _is_read_here(given.items):
        stream = given
        return to_submit(stream.items, context, submission, lambda items: through(stream.guarded(items)))
    if isinstance(given, SourceReader):
        source = open_input(context, given._locations, submission, given._options, ReadReport())
        return SourceItems(source, through=through)
    if is_frame(given):
        return through(read_frame(given, ReadOptions(max_bytes=context.settings.max_payload_bytes)))
    return through(given)


def to_send(given: Any, on_reject: Callable[[Rejection], object] | None) -> Iterable[Any]:
    """Return what was given as items to send to a server.

    Args:
        on_reject: called with what cannot be read; None: that is an error.

    Raises:
        InvalidItems: while they are read, if a row cannot be an item.
    """
    if isinstance(given, SourceReader):
        return _payloads(given._records(), on_reject)
    return _payloads(read_frame(given, ReadOptions()), on_reject) if is_frame(given) else given


def _is_read_here(given: object) -> bool:
    return isinstance(given, SourceReader) or is_frame(given)


def _payloads(read: Iterator[Record | Rejection], on_reject: Callable[[Rejection], object] | None) -> Iterator[Item]:
    for each in read:
        if isinstance(each, Record):
            yield Item(each.payload)
        elif on_reject is not None:
            on_reject(each)
        else:
            raise InvalidItems(f"{each.place}: {each.reason}; nothing was accepted", (each,))
