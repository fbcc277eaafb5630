"""An open text input, as the readers of all text formats take it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.encodings import describe_decode_error
from pipeline.sources.input_position import InputPosition
from pipeline.sources.json_object import parse_object
from pipeline.sources.propose_encodings import EncodingProposals
from pipeline.sources.read_report import ReadReport


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
    """

    stream: io.BufferedReader
    name: str
    encoding: str
    max_bytes: int
    first_offset: int = 0
    proposals: EncodingProposals = field(default_factory=EncodingProposals)
    report: ReadReport = field(default_factory=ReadReport)

    @property
    def max_record_bytes(self) -> int:
        """Size limit of one line, row or array element. JSON escapes take up to six bytes for one of compact JSON."""
        return 8 * self.max_bytes

    @property
    def too_long(self) -> str:
        """The reason to reject a record longer than `max_record_bytes`."""
        return f"longer than {self.max_record_bytes:,} bytes; a payload may have {self.max_bytes:,}"

    def parse_record(self, raw: bytes, position: InputPosition) -> Record | Rejection:
        """Parse the JSON object in `raw`, which begins at `position`."""
        try:
            return Record(position.line, *parse_object(raw, position, self.max_bytes))
        except UnicodeDecodeError as error:
            return reject(position.line, self.explain_bad_bytes(error, position.offset), raw)
        except InvalidInput as error:
            return reject(position.line, str(error), raw)

    def explain_bad_bytes(self, error: UnicodeDecodeError, offset: int) -> str:
        """Return the reason to reject a record that begins at byte `offset` and cannot be decoded."""
        return f"{describe_decode_error(error, self.encoding, offset)}; {self.proposals.advice(self.encoding, error)}"


def reject(line: int, reason: str, raw: bytes) -> Rejection:
    """Return a rejection with the text of `raw`; bytes that are not valid UTF-8 are escaped."""
    return Rejection(line, reason, raw.decode("utf-8", "backslashreplace").strip())
