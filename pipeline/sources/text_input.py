"""A text input that is open: what every reader reads."""

from __future__ import annotations

import io
from dataclasses import dataclass

from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.encodings import undecodable
from pipeline.sources.input_position import InputPosition
from pipeline.sources.json_object import parse


@dataclass(frozen=True, slots=True)
class TextInput:
    """An input and what is said of it.

    Args:
        stream: its text as UTF-8, without a byte order mark.
        name: what messages call it.
        encoding: what it was before it became UTF-8.
        max_bytes: of one payload as compact JSON.
    """

    stream: io.BufferedReader
    name: str
    encoding: str
    max_bytes: int

    @property
    def max_record_bytes(self) -> int:
        """Of one line or array element: JSON with escapes takes up to six bytes where compact JSON takes one."""
        return 8 * self.max_bytes

    @property
    def too_long(self) -> str:
        return f"longer than {self.max_record_bytes:,} bytes; a payload may have {self.max_bytes:,}"

    def accept(self, raw: bytes, place: InputPosition) -> Record | Rejection:
        """Return the object that `raw`, found at `place`, holds, or why it is refused."""
        try:
            return Record(place.line, parse(raw, place, self.max_bytes))
        except UnicodeDecodeError as error:
            return refuse(place.line, undecodable(error, self.encoding, place.offset), raw)
        except InvalidInput as error:
            return refuse(place.line, str(error), raw)


def refuse(line: int, reason: str, raw: bytes) -> Rejection:
    """Return the rejection of a record of UTF-8 bytes, valid or not."""
    return Rejection(line, reason, raw.decode("utf-8", "backslashreplace").strip())
