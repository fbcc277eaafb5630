"""Reads a response as it arrives. The status line decides, no matter what becomes of the body."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.errors import MalformedResponse
from pipeline.domain.body_text import KEPT_BYTES, body_text

#: Limits of a response's headers: bytes in all, lines, and bytes of one line.
MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 100
MAX_LINE_BYTES = 8_190
#: Bytes up to the end of the headers, interim responses and empty lines included.
MAX_HEAD_BYTES = 2 * MAX_HEADER_BYTES
#: Bytes on the wire for each byte of the body. Chunk framing is read too, and must not go on forever.
FRAMED = 8
#: Bytes of the body that are kept, as UTF-8: enough to look into a failure, and a hint for a success.
KEPT_OF_FAILURE, KEPT_OF_SUCCESS = KEPT_BYTES, 256

_SWITCHING = 101
_CONTROL_LENGTH = 64
_HOST_LENGTH = 253
_RETRY_AFTER, _CONTROL, _LOCATION = b"retry-after", b"webhook-delivery", b"location"
_FRAMING = (b"content-length", b"transfer-encoding")
_KEPT_HEADERS = frozenset({_RETRY_AFTER, _CONTROL, _LOCATION, *_FRAMING})


class Response:
    """A response while it arrives. What it reads does not depend on how the bytes are cut into pieces.

    Args:
        limit: bytes of the body that are read; after that the response ends.
    """

    def __init__(self, limit: int) -> None:
        #: None until the headers are complete.
        self.status: int | None = None
        #: Bytes received so far, of any kind.
        self.received = 0
        #: Whether no more bytes are needed.
        self.is_over = False
        #: Whether the connection can be used for another request.
        self.is_reusable = False
        self._left = limit
        self._max_bytes = MAX_HEAD_BYTES + FRAMED * limit
        self._lines = self._header_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._is_complete = False
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # Receivers do these things, and they are harmless here, since nothing that is read is passed on.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> None:
        """Take the bytes that arrived.

        Raises:
            MalformedResponse: they are not a response, or its headers exceed the limits.
        """
        if self.received + len(data) <= MAX_HEAD_BYTES:
            self._feed(data)
        else:
            for piece in self._cut(data):
                self._feed(piece)

    def close(self) -> None:
        """Note that the receiver has closed the connection: a body without other framing is complete."""
        self._is_complete = self._is_complete or self._headers.keys().isdisjoint(_FRAMING)
        self.stop()

    def stop(self) -> None:
        """Read no further."""
        self.is_over, self.is_reusable = True, False

    def answer(self) -> Answer:
        """Return what has arrived.

        Raises:
            RuntimeError: there is no `status` yet.
        """
        status = self.status
        if status is None:
            raise RuntimeError("there is no status yet")
        control, location = self._text_of(_CONTROL), self._text_of(_LOCATION)
        limit = KEPT_OF_SUCCESS if 200 <= status <= 299 else KEPT_OF_FAILURE
        return Answer(
            status=status,
            retry_after=self._text_of(_RETRY_AFTER),
            control=None if control is None else control.strip().lower()[:_CONTROL_LENGTH],
            location=redirect_host(location) if 300 <= status <= 399 else None,
            text=body_text(
                bytes(self._body), limit, is_complete=self._is_complete and len(self._body) < KEPT_OF_FAILURE
            ),
        )

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """Yield the bytes in pieces that end one byte beyond each limit, where `_feed` checks it."""
        for limit in (MAX_HEAD_BYTES, self._max_bytes):
            left = max(limit + 1 - self.received, 0)
            if data[:left]:
                yield data[:left]
            data = data[left:]
        if data:
            yield data

    def _feed(self, data: bytes) -> None:
        self.received += len(data)
        if self._parser is None:
            # Bytes after a response belong to no request, and must not be taken for the next response. Empty lines
            # are harmless.
            self.is_reusable = self.is_reusable and not data.strip(b"\r\n")
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.stop()
        else:
            if self.received > (MAX_HEAD_BYTES if self.status is None else self._max_bytes):
                self.stop()
        if self.is_over:
            # The parser refers to this object: without this, only the garbage collector could free them.
            self._parser = None
            if self.status is None:
                raise MalformedResponse

    # Callbacks of the parser. It may be fed more than one response: the first that is not interim counts.

    def on_message_begin(self) -> None:
        if self.is_over:
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is not None:
            return  # a trailer
        size = len(name) + len(value)
        self._lines += 1
        self._header_bytes += size
        is_too_much = self._lines > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES or size > MAX_LINE_BYTES
        if is_too_much or b"\0" in value:
            raise MalformedResponse
        name = name.lower()
        if name in _KEPT_HEADERS:
            self._headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        if self.status is not None or self._parser is None:
            return
        status = self._parser.get_status_code()
        if 100 <= status <= 199 and status != _SWITCHING:
            self._lines = self._header_bytes = 0
            self._headers.clear()
            return
        self.status = status
        if status == _SWITCHING:
            # Another protocol follows.
            self.stop()

    def on_body(self, piece: bytes) -> None:
        if self.is_over:
            return
        self._body += piece[: min(KEPT_OF_FAILURE - len(self._body), self._left)]
        self._left -= len(piece)
        if self._left <= 0:
            self.stop()

    def on_message_complete(self) -> None:
        if self.status is None or self.is_over or self._parser is None:
            return
        self.is_over = self._is_complete = True
        self.is_reusable = self._parser.should_keep_alive()

    def _text_of(self, header: bytes) -> str | None:
        value = self._headers.get(header)
        return None if value is None else value.rstrip(b" \t").decode(errors="surrogateescape")


def redirect_host(location: str | None) -> str | None:
    """Return the host that a redirect names. The rest of its URL may contain secrets."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        return None
    return host if host and len(host) <= _HOST_LENGTH and host.isascii() and host.isprintable() else None
