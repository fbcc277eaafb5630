"""How large the dictionaries of a Parquet file are: each text in one may stand in every row."""

from __future__ import annotations

from typing import BinaryIO

from pipeline.sources.columnar.parquet_footer import ColumnChunk

#: Of a field that holds a number of 32 bits, in the compact protocol of Thrift, directly behind the field before.
_NEXT_INTEGER = 0x15
_DICTIONARY_PAGE = 2
#: The beginning of a page's header: its kind and its size.
_HEADER_BYTES = 16


def dictionary_bytes(file: BinaryIO, chunk: ColumnChunk) -> int:
    """Return how many bytes the dictionary of a column chunk has when decompressed, 0 if there is none.

    Reading fails if the size in the page's header is wrong. If the header cannot be read, the size of all pages counts.

    Args:
        file: it has `seek`, and is left at another position.
    """
    file.seek(chunk.start)
    header = file.read(_HEADER_BYTES)
    kind, rest = _read_integer(header)
    size, _ = _read_integer(rest)
    if kind is None or size is None or size < 0:
        return chunk.size
    return size if kind == _DICTIONARY_PAGE else 0


def _read_integer(encoded: bytes) -> tuple[int | None, bytes]:
    """Return the number that a field holds, and what follows it; None if it is no such field."""
    if not encoded or encoded[0] != _NEXT_INTEGER:
        return None, b""
    value = 0
    for place, byte in enumerate(encoded[1:6]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            # Zigzag: the last bit is the sign.
            return (value >> 1) ^ -(value & 1), encoded[place + 2 :]
    return None, b""
