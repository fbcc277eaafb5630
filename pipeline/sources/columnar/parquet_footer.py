"""What the footer of a Parquet file says of its column chunks.

Not by pyarrow, which validates the size statistics of a chunk in a place where an exception ends the process: one
damaged byte would stop a server (apache/arrow#45283). The footer is a struct in the compact protocol of Thrift, see
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md and `parquet.thrift` in
https://github.com/apache/parquet-format.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

#: Length of the footer, and the magic bytes behind it.
_TAIL_BYTES = 8
#: Python reads some megabytes in a second.
_MAX_FOOTER_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 16

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = frozenset({4, 5, 6})
#: The bytes of values that have a fixed number of them. The type of a boolean field is its value.
_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}

#: The fields that are read, by number, down to those of a column chunk's metadata. Others are skipped.
_CHUNK: Mapping[int, Any] = {1: None, 3: None, 5: None, 6: None, 9: None, 11: None}
_FOOTER: Mapping[int, Any] = {4: {1: {3: _CHUNK}}}
_BYTE_ARRAY = 6


class DamagedFooter(ValueError):
    """A footer is no struct of Thrift, or ends before it is whole."""


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """The values of one column in one row group.

    Args:
        path: names of the column and of the fields in it, joined by periods.
        is_text: whether its values are texts or bytes.
        values: how many it has, in all lists of all rows.
        size: bytes of its pages when decompressed.
        start: offset of its first page.
    """

    path: str
    is_text: bool
    values: int
    size: int
    start: int


def read_chunks(file: BinaryIO) -> list[list[ColumnChunk]]:
    """Return the column chunks of each row group.

    Args:
        file: it has `seek`, and is left at another position.

    Raises:
        DamagedFooter: it cannot be read.
    """
    end = file.seek(0, io.SEEK_END) - _TAIL_BYTES
    file.seek(max(0, end))
    size = int.from_bytes(file.read(4), "little")
    if not 0 < size <= end:
        raise DamagedFooter("its footer is longer than the file")
    if size > _MAX_FOOTER_BYTES:
        raise DamagedFooter(f"its footer has {size:,} bytes, more than {_MAX_FOOTER_BYTES:,}; write fewer row groups")
    file.seek(end - size)
    reader = _CompactReader(file.read(size))
    try:
        footer = reader.struct(_FOOTER)
        return [[_chunk(column[3]) for column in group.get(1, ())] for group in footer.get(4, ())]
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, AttributeError):
        raise DamagedFooter("its footer is damaged") from None


def _chunk(fields: Mapping[int, Any]) -> ColumnChunk:
    start = min(filter(None, (fields.get(11), fields[9])), default=0)
    path = ".".join(name.decode() for name in fields[3])
    return ColumnChunk(path, fields[1] == _BYTE_ARRAY, fields[5], fields[6], max(0, start))


def _check_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise DamagedFooter("its footer is nested too deeply")


class _CompactReader:
    """Reads structs. Where the bytes end too early, it raises `IndexError`."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded, self._place = encoded, 0

    def struct(self, wanted: Mapping[int, Any], depth: int = 0) -> dict[int, Any]:
        """Return the wanted fields of the struct that begins here: numbers, bytes, structs, and lists of those."""
        found: dict[int, Any] = {}
        number = 0
        while (header := self._byte()) != _STOP:
            kind, delta = header & 0x0F, header >> 4
            number = number + delta if delta else self._integer()
            if number in wanted:
                found[number] = self._value(kind, wanted[number], depth + 1)
            else:
                self._skip(kind, depth + 1)
        return found

    def _value(self, kind: int, wanted: Mapping[int, Any] | None, depth: int) -> Any:
        _check_depth(depth)
        if kind == _STRUCT and wanted is not None:
            return self.struct(wanted, depth)
        if kind in (_LIST, _SET):
            size, inner = self._list_header()
            return [self._value(inner, wanted, depth + 1) for _ in range(size)]
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._take(self._varint())
        raise DamagedFooter("its footer has a field of another kind than it should be")

    def _skip(self, kind: int, depth: int) -> None:
        _check_depth(depth)
        if kind in _SIZES:
            self._take(_SIZES[kind])
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            self._take(self._varint())
        elif kind in (_LIST, _SET):
            size, inner = self._list_header()
            self._skip_elements(size, (inner,), depth)
        elif kind == _MAP:
            self._skip_map(depth)
        elif kind == _STRUCT:
            self._skip_struct(depth)
        else:
            raise DamagedFooter(f"its footer has a field of the unknown kind {kind}")

    def _skip_elements(self, size: int, kinds: tuple[int, ...], depth: int) -> None:
        self._check_left(size)
        for _ in range(size):
            for kind in kinds:
                # Outside structs, a boolean takes a byte.
                self._skip(_BYTE if kind in (_TRUE, _FALSE) else kind, depth + 1)

    def _skip_map(self, depth: int) -> None:
        size = self._varint()
        kinds = self._byte() if size else 0
        self._skip_elements(size, (kinds >> 4, kinds & 0x0F), depth)

    def _skip_struct(self, depth: int) -> None:
        while (header := self._byte()) != _STOP:
            if not header >> 4:
                self._varint()
            self._skip(header & 0x0F, depth + 1)

    def _list_header(self) -> tuple[int, int]:
        header = self._byte()
        size = header >> 4
        if size == 15:
            size = self._varint()
        self._check_left(size)
        return size, header & 0x0F

    def _check_left(self, size: int) -> None:
        if size > len(self._encoded) - self._place:
            raise DamagedFooter("its footer has a list that is longer than the footer")

    def _byte(self) -> int:
        self._place += 1
        return self._encoded[self._place - 1]

    def _take(self, size: int) -> bytes:
        if size > len(self._encoded) - self._place:
            raise DamagedFooter("its footer has a text that is longer than the footer")
        self._place += size
        return self._encoded[self._place - size : self._place]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise DamagedFooter("its footer has a number of more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        # Zigzag: the last bit is the sign.
        return (value >> 1) ^ -(value & 1)
