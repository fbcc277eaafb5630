"""An open text input, as the readers of all text formats take it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection, UnreadRecord
from pipeline.errors import InvalidInput
from pipeline.sources.file_position import FilePosition
from pipeline.sources.read_report import ReadReport
from pipeline.sources.text.encodings import describe_decode_error
from pipeline.sources.text.input_position import InputPosition
from pipeline.sources.text.json_object import parse_object
from pipeline.sources.text.propose_encodings import EncodingProposals


@dataclass(frozen=True, slots=True)
class TextInput:
    """An open text input.

    Args:
        stream: the text as UTF-8, without a byte order mark.
        name: the input's name in messages.
        encoding: the original encoding.
        max_bytes: size limit of one payload as compact JSON.
        first_offset: bytes of the byte order mark.
        proposals: encodings that may be the right one if bytes are invalid in `encoding`.
        report: counts blank rows and takes warnings.
        position: which file of the source it is, and where to go on in it.
        reopen: opens the text again, as UTF-8, at a number of bytes from its beginning. The stream is closed with the
            input.
        check_columns: called with the names of a table's columns.
        has_cr: whether CR alone ends lines, too.
    """

    stream: io.BufferedReader
    name: str
    encoding: str
    max_bytes: int
    first_offset: int = 0
    proposals: EncodingProposals = field(default_factory=EncodingProposals)
    report: ReadReport = field(default_factory=ReadReport)
    position: FilePosition = field(default_factory=FilePosition)
    reopen: Callable[[int], io.BufferedReader] | None = None
    check_columns: Callable[[Sequence[str]], object] = len
    has_cr: bool = False

    @property
    def max_record_bytes(self) -> int:
        """Size limit of one line, row or array element. JSON escapes take up to six bytes for one of compact JSON."""
        return 8 * self.max_bytes

    @property
    def too_long(self) -> str:
        """The reason to reject a record longer than `max_record_bytes`."""
        return f"longer than {self.max_record_bytes:,} bytes; a payload may have {self.max_bytes:,}"

    def parse_record(self, raw: bytes, position: InputPosition, after: InputCursor | None) -> Record | Rejection:
        """Parse the JSON object in `raw`, which begins at `position`; the next record is found `after` it."""
        try:
            item, encoded = parse_object(raw, position, self.max_bytes)
        except UnicodeDecodeError as error:
            return self.reject(position.line, self.explain_bad_bytes(error, position.offset), raw, after)
        except InvalidInput as error:
            return self.reject(position.line, str(error), raw, after)
        return Record(position.line, item, encoded, self.position.file, after)

    def accept(self, line: int, item: dict[str, Any], after: InputCursor | None) -> Record:
        """Return the record of an item."""
        return Record(line, item, None, self.position.file, after)

    def reject(self, line: int, reason: str, raw: bytes | str, after: InputCursor | None) -> Rejection:
        """Return a rejection with the text of `raw`; bytes that are not valid UTF-8 are escaped."""
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace").strip()
        return UnreadRecord(line, reason, text, self.position.file, after)

    def explain_bad_bytes(self, error: UnicodeDecodeError, offset: int) -> str:
        """Return the reason to reject a record that begins at byte `offset` and cannot be decoded."""
        advice = self.proposals.advice(self.encoding, error)
        if self.proposals.best is not None:
            self.report.propose("--encoding", self.proposals.best)
        return f"{describe_decode_error(error, self.encoding, offset)}; {advice}"
