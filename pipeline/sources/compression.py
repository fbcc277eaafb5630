"""Decompresses a file that is recognized by its first bytes, whatever its name is."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from pipeline.errors import InvalidInput
from pipeline.sources.byte_meter import ByteMeter, MeteredStream
from pipeline.sources.unpack_guard import GuardedStream, UnpackGuard

_BUFFER_BYTES = 64 * 1024


class Compression(StrEnum):
    """How a file is compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


_MAGIC = (
    (b"\x1f\x8b", Compression.GZIP),
    (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
    (b"BZh", Compression.BZIP2),
    (b"\xfd7zXZ\x00", Compression.XZ),
)
#: The block that a bzip2 stream begins with, or its end if it is empty: text may begin with `BZh`.
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")


def detect_compression(head: bytes) -> Compression | None:
    """Return how a file with this beginning is compressed, None if it is not."""
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if found is Compression.BZIP2 and head[4:10] not in _BZIP2_BLOCKS:
        return None
    return found


@contextmanager
def decompressed(
    stream: io.BufferedReader, kind: Compression, name: str, max_ratio: int
) -> Iterator[io.BufferedReader]:
    """Yield what a stream decompresses to; data that is appended, as by `cat a.gz b.gz`, follows.

    Raises:
        InvalidInput: the library is not installed; or, while it is read: the data is damaged, cut off, or unpacks to
            more than `max_ratio` times its size.
    """
    meter = ByteMeter()
    guard = UnpackGuard(name, "the file", max_ratio)
    with _explain_errors(name, kind), _open(MeteredStream(stream, meter).buffered(), kind) as unpacked:
        yield io.BufferedReader(GuardedStream(unpacked, guard, lambda: meter.count), _BUFFER_BYTES)


def _open(stream: io.BufferedReader, kind: Compression) -> Any:
    if kind is Compression.GZIP:
        return gzip.GzipFile(fileobj=stream)
    if kind is Compression.BZIP2:
        return bz2.BZ2File(stream)
    if kind is Compression.XZ:
        return lzma.LZMAFile(stream)
    return _import_zstd().ZstdFile(stream)


def _import_zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            # By its name, since linters of older versions do not know it.
            return importlib.import_module("compression.zstd")
        from backports import zstd
    except ImportError:
        raise InvalidInput("reading zstd needs backports.zstd: pip install 'pipeline[zstd]'") from None
    return zstd


@contextmanager
def _explain_errors(name: str, kind: Compression) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise InvalidInput(f"{name} is truncated: the {kind} data ends too early; copy the file again") from None
    except OSError as error:
        # Of bzip2 and gzip; those of the file below have a number.
        if error.errno is not None:
            raise
        raise InvalidInput(f"{name} contains damaged {kind} data: {error}") from None
    except (zlib.error, lzma.LZMAError) as error:
        raise InvalidInput(f"{name} contains damaged {kind} data: {error}") from None
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise InvalidInput(f"{name} contains damaged {kind} data: {error}") from None
