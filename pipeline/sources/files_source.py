"""Files that are read as one source, in order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput, NoItems
from pipeline.sources.agreement import Agreement
from pipeline.sources.byte_meter import ByteMeter
from pipeline.sources.file_position import FilePosition
from pipeline.sources.fingerprint import combine_fingerprints
from pipeline.sources.item_source import ItemSource, ReadProgress
from pipeline.sources.read_file import Reading, read_file
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.source_file import SourceFile


class FilesSource(ItemSource):
    """Files that are read as one source, in order.

    Args:
        name: of the source in messages.
        files: at least one.
        options: how to read them, `checked`.
        report: counts blank rows and takes warnings.
    """

    def __init__(self, name: str, files: Sequence[SourceFile], options: ReadOptions, report: ReadReport) -> None:
        self._name, self._files, self._options, self._report = name, files, options, report
        self._meter = ByteMeter()
        self._passed_bytes = 0
        self._sizes: list[int | None] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def files(self) -> Sequence[SourceFile]:
        """The files in the order in which they are read."""
        return self._files

    def describe(self) -> dict[str, Any]:
        return {"name": self._name, "files": len(self._files), "options": self._options.describe()}

    def fingerprint(self) -> str | None:
        if not self._can_resume():
            return None
        return combine_fingerprints([file.fingerprint() for file in self._files])

    def progress(self) -> ReadProgress:
        sizes = self._sizes or []
        total = sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
        return ReadProgress(self._passed_bytes + self._meter.count, total)

    def read(self, after: InputCursor | None = None) -> Generator[Record | Rejection, None, None]:
        self._sizes = [file.size() for file in self._files]
        first = 0 if after is None else after.file
        if first >= len(self._files):
            raise InvalidInput(f"{self._name} has {len(self._files):,} files, fewer than were read before")
        reading = Reading(self._options, self._report, Agreement(), self._meter)
        if first:
            self._learn(reading)
            self._passed_bytes = sum(size or 0 for size in self._sizes[:first])
        is_empty = after is None
        can_resume = self._can_resume()
        for number, file in enumerate(self._files[first:], first):
            label = file.name if len(self._files) > 1 else None
            position = FilePosition(number, 0, label, after if number == first else None, can_resume)
            for item in read_file(file, reading, position):
                is_empty = False
                yield item
            self._passed_bytes += self._sizes[number] or self._meter.count
            self._meter.count = 0
        if is_empty:
            header_row = self._options.table.header_row
            below = "" if header_row is None else f" below row {header_row:,}, which --header-row names"
            raise NoItems(f"no items in {self._name}{below}")

    def _can_resume(self) -> bool:
        """Return whether the files can be opened again; a stream or a pipe is read once."""
        return all(file.can_seek and file.size() is not None for file in self._files)

    def _learn(self, reading: Reading) -> None:
        """Have what the other files must agree with known, when reading goes on behind the first."""
        first = read_file(self._files[0], replace(reading, report=ReadReport(), meter=ByteMeter()), FilePosition())
        next(first, None)
        first.close()  # type: ignore[attr-defined]  # a generator: this closes the file
