"""Write planned parts: into files of this machine first, then whole to the target, then marked as stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.event import cut_data, with_payload
from pipeline.domain.urls.export_target import ExportOptions
from pipeline.exports.plan_parts import read_results
from pipeline.exports.rules.part_names import partition_value
from pipeline.exports.sql.event_log import LoggedResult
from pipeline.exports.targets.part_store import PartPlaces, StoredFile
from pipeline.files.export_writer import RowWriter, open_part

#: Parts that are written at the same time: each has an open file and a buffer.
MAX_OPEN = 32


@dataclass(slots=True)
class StagedPart:
    """A part that is being written.

    Args:
        part: its row.
        content: SHA-256 of the events whose results it holds.
    """

    part: Row
    file: BinaryIO
    writer: RowWriter
    rows: int = 0
    content: Any = field(default_factory=hashlib.sha256)

    def add(self, result: LoggedResult, data: bytes) -> None:
        self.writer.write(data if result.payload is None else with_payload(data, result.payload))
        self.content.update(result.body)
        self.rows += 1


def write_parts(
    context: Context,
    row: Row,
    parts: Sequence[Row],
    options: ExportOptions,
    store: PartPlaces,
    check: Callable[[], None],
    on_stored: Callable[[Row, int, StoredFile], None],
) -> None:
    """Write parts of one range, and report each as soon as it is in its place.

    Args:
        row: the export's row.
        parts: at most `MAX_OPEN`.
        check: called between pages and parts; raises to end the work.
        on_stored: called with a part, its number of rows and what is stored.

    Raises:
        TargetUnavailable, TargetConflict: see `PartStore.publish`.
        InvalidInput: the library that the format needs is not installed.
    """
    with ExitStack() as stack:
        staged = [_stage(stack, part, options, store) for part in parts]
        _fill(context, row, {each.part["partition"]: each for each in staged}, options, check)
        for each in staged:
            each.writer.close()
        for each in staged:
            check()
            stored = store.publish(each.part["name"], each.file, each.content.hexdigest())
            on_stored(each.part, each.rows, stored)


def _stage(stack: ExitStack, part: Row, options: ExportOptions, store: PartPlaces) -> StagedPart:
    file = stack.enter_context(store.stage(part["name"]))
    writer = open_part(options.format, file, with_payload=options.with_payload)
    # Before the file is closed: a writer that is left open would write its rest when it is collected.
    stack.callback(_close_quietly, writer)
    return StagedPart(part, file, writer)


def _close_quietly(writer: RowWriter) -> None:
    with suppress(Exception):
        writer.close()


def _fill(
    context: Context,
    row: Row,
    staged: Mapping[str | None, StagedPart],
    options: ExportOptions,
    check: Callable[[], None],
) -> None:
    first, last = _range_of(staged)
    pages = read_results(context, row, first, last, with_payload=options.with_payload, check=check)
    for page in pages:
        for result in page:
            data = cut_data(result.body)
            value = None if options.partition is None else partition_value(options.partition, orjson.loads(data))
            # Others of the range are written already, or by the next call.
            part = staged.get(value)
            if part is not None:
                part.add(result, data)


def _range_of(staged: Mapping[str | None, StagedPart]) -> tuple[int, int]:
    part = next(iter(staged.values())).part
    return part["first_seq"], part["last_seq"]
