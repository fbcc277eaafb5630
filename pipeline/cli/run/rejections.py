"""The rejected items of a submission: printed, counted, and written to the rejects file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pipeline.cli.show.output import Messages, pluralize
from pipeline.domain.payload import Rejection
from pipeline.files import RejectsFile
from pipeline.sources import ReadReport

#: Rejected items that are printed; the rejects file has all of them.
_PRINTED = 10


class Rejections:
    """Collects rejected items, and goes back to where a submission that is resumed had stored its last items.

    Args:
        file: takes all of them, if one is asked for.
        all_or_none: whether one of them rejects all items; the error message lists them then.
        report: of reading the source.

    Attributes:
        count: How many there are.
        kept: How many items stay stored although the submission was interrupted.
    """

    def __init__(self, messages: Messages, file: RejectsFile | None, report: ReadReport, *, all_or_none: bool) -> None:
        self._messages, self._file, self._report = messages, file, report
        self.all_or_none = all_or_none
        self.count = 0
        self.kept = 0

    def add(self, rejection: Rejection) -> None:
        """Take a rejected item."""
        self.count += 1
        if self._file is not None:
            self._file.write(rejection)
        if self.count <= _PRINTED and not self.all_or_none:
            self._messages.info(f"skipped {rejection.place}: {rejection.reason}")

    def mark(self) -> dict[str, Any]:
        """See `SubmissionLog`."""
        file = None if self._file is None else {"path": os.path.abspath(self._file.path), "bytes": self._file.size}
        return {"count": self.count, "blank_rows": self._report.blank_rows, "file": file}

    def resume(self, mark: dict[str, Any] | None, stored: int) -> None:
        """See `SubmissionLog`."""
        if mark is None:
            if self._file is not None:
                self._file.cut_back(0)
            return
        self.count, self._report.blank_rows = mark["count"], mark["blank_rows"]
        self._messages.info(f"{stored:,} items are stored already; going on after them")
        if self._file is not None:
            self._cut_back(self._file, mark["file"])

    def interrupted(self, stored: int) -> None:
        """See `SubmissionLog`."""
        self.kept = stored

    def _cut_back(self, file: RejectsFile, known: dict[str, Any] | None) -> None:
        if known is not None and known["path"] == os.path.abspath(file.path) and file.size >= known["bytes"]:
            file.cut_back(known["bytes"])
            return
        file.cut_back(0)
        if self.count:
            where = f"; they were written to {known['path']}" if known is not None else ""
            self._messages.warn(f"{file.path} lacks the first {pluralize(self.count, 'rejected item')}{where}")


@contextmanager
def open_rejections(
    path: str | None, messages: Messages, report: ReadReport, *, all_or_none: bool
) -> Iterator[Rejections]:
    """Collect rejected items: print the first, and write all to the rejects file if one is asked for.

    Args:
        path: of the file.
        report: of reading the source.
        all_or_none: whether one of them rejects all items.
    """
    file: AbstractContextManager[RejectsFile | None] = nullcontext() if path is None else RejectsFile(path, keep=True)
    with file as opened:
        rejections = Rejections(messages, opened, report, all_or_none=all_or_none)
        yield rejections
        if rejections.count:
            hint = f"see {path}" if path else "to keep them, pass --rejects FILE"
            messages.warn(f"{pluralize(rejections.count, 'item')} skipped; {hint}")
