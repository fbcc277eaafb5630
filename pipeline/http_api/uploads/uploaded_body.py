"""A body that a thread reads: decompressed, bounded, and measured as it was sent."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from pipeline.batches.idempotency import BodyDigest
from pipeline.domain.payload import Record, Rejection
from pipeline.http_api.problems import Problem
from pipeline.http_api.uploads.request_stream import RequestStream

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER_BYTES = 256 * 1024
#: What to do with items that are too many for one body.
DIVIDE = "divide it into several batches, or parts of one"


class UploadedBody:
    """The body of a request, for the thread that reads its items. A `SubmittedBody`.

    Args:
        source: what the event loop fills.
        limit: bytes that it may have, both as it is sent and decompressed.
        is_gzip: whether it is compressed. It may be even if no header says so.
        expected: the SHA-256 that it should have, in hexadecimal; None: any.
        awaits_word: whether the client waits for word before it sends the body: `Expect: 100-continue`.
        reading: the options by which its items are read.
        advice: what to do instead of sending a body that is too large.
    """

    def __init__(
        self,
        source: RequestStream,
        *,
        limit: int,
        is_gzip: bool = False,
        expected: str | None = None,
        awaits_word: bool = False,
        reading: Mapping[str, str] | None = None,
        advice: str = DIVIDE,
    ) -> None:
        self._source, self._limit, self._is_gzip, self._advice = source, limit, is_gzip, advice
        self._expected, self._awaits_word = expected, awaits_word
        self._reading = reading or {}
        self._measured = _MeasuredStream(source, limit, advice)
        self._sent: io.BufferedReader = io.BufferedReader(self._measured, _BUFFER_BYTES)

    @property
    def size(self) -> int:
        """The bytes that were read of it, as they were sent."""
        return self._measured.size

    def open(self) -> io.BufferedReader:
        """Return the content of the body.

        Reading it raises `Problem`: body_too_large, bad_encoding, or bad_request if the connection ends.
        """
        if not self._is_gzip and not self._sent.peek(2).startswith(_GZIP_MAGIC):
            return self._sent
        return io.BufferedReader(_Unzipped(self._sent, self._limit, self._advice), _BUFFER_BYTES)

    def spool(self) -> BinaryIO:
        """Return the content as a file, for a format that is not read from its beginning. It has no name, and is
        deleted when it is closed.

        Raises:
            Problem: storage_full, and as `open`.
        """
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the reader keeps it
        try:
            shutil.copyfileobj(self.open(), file)
            file.seek(0)
        except OSError as error:
            file.close()
            if error.errno != errno.ENOSPC:
                raise
            raise Problem("storage_full", "the disk for temporary files of the server is full") from None
        return cast(BinaryIO, file)

    def bound_decoded(self, read: Iterable[Record | Rejection]) -> Iterator[Record | Rejection]:
        """Yield what a file of the content makes, whose size says nothing about that.

        Raises:
            Problem: body_too_large: it is more than the limit.
        """
        size = 0
        for each in read:
            size += len(each.text if isinstance(each, Rejection) else each.encoded or b"")
            if size > self._limit:
                raise too_large(self._limit, self._advice, "as JSON, ")
            yield each

    def finish(self) -> BodyDigest:
        """Read what is left of the body and return its digest.

        Raises:
            Problem: digest_mismatch, and as `open`.
        """
        while self._sent.read1(_BUFFER_BYTES):
            pass
        found = self._measured.digest()
        if self._expected not in (None, found):
            raise Problem("digest_mismatch", "the body is not the one that Content-Digest was made of; send it again")
        return BodyDigest(found, self._reading)

    def digest_of_repetition(self) -> BodyDigest | None:
        """Return the digest of a body whose items are stored already.

        A client that waits for word is spared sending it: what it says of the digest counts; None if it says nothing.
        """
        if self.is_withheld:
            return None if self._expected is None else BodyDigest(self._expected, self._reading)
        return self.finish()

    @property
    def is_withheld(self) -> bool:
        """Whether the client has been told nothing yet, and waits before it sends the body."""
        return self._awaits_word and not self._source.has_begun


class _MeasuredStream(io.RawIOBase):
    """A stream whose bytes are counted and hashed as they are read."""

    def __init__(self, source: io.RawIOBase, limit: int, advice: str) -> None:
        self._source, self._limit, self._advice, self._hash = source, limit, advice, hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        size = self._source.readinto(target) or 0
        self.size += size
        if self.size > self._limit:
            raise too_large(self._limit, self._advice)
        self._hash.update(memoryview(target).cast("B")[:size])
        return size

    def digest(self) -> str:
        return self._hash.hexdigest()


class _Unzipped(io.RawIOBase):
    """What a stream that is compressed with gzip contains."""

    def __init__(self, source: io.BufferedReader, limit: int, advice: str) -> None:
        self._file, self._limit, self._advice = gzip.GzipFile(fileobj=source, mode="rb"), limit, advice
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        buffer = memoryview(target).cast("B")
        try:
            chunk = self._file.read1(len(buffer))
        except EOFError:
            raise Problem("bad_encoding", "the gzip data of the body ends too early; send it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Problem("bad_encoding", f"the body is not valid gzip: {error}") from None
        if chunk.startswith(_GZIP_MAGIC) and not self._size:
            raise Problem("bad_encoding", "the body is compressed with gzip twice; compress it once")
        self._size += len(chunk)
        if self._size > self._limit:
            raise too_large(self._limit, self._advice, "decompressed, ")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def too_large(limit: int, advice: str, when: str = "") -> Problem:
    """Return the problem of a body that has too many bytes."""
    return Problem("body_too_large", f"{when}the body has more than the {limit:,} bytes that are allowed; {advice}")
