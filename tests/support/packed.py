"""Compressed data for tests, made by the library that reads it."""

from __future__ import annotations

import sys


def packed_zstd(content: bytes) -> bytes:
    """Return `content` compressed with zstd, with a checksum, as the program does."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})
