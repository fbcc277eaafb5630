"""What a receiver answered: the status line decides, whatever becomes of the body behind it."""

from __future__ import annotations

import codecs
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.errors import MalformedAnswer

#: Bytes and lines of an answer's headers, and bytes of one line.
MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 100
MAX_LINE_BYTES = 8_190
#: Bytes before the end of the headers, with what stands between them and with interim answers.
MAX_HEAD_BYTES = 2 * MAX_HEADER_BYTES
#: Bytes on the wire for one of the body: what frames chunks is read as well, and is nobody's to drag out.
FRAMED = 8
#: Bytes of an answer's body that are kept, as UTF-8: of a failure to look into, of a success as a sign.
KEPT_OF_FAILURE, KEPT_OF_SUCCESS = 4_096, 256

_SWITCHING = 101
_CONTROL_LENGTH = 64
_HOST_LENGTH = 253
_RETRY_AFTER, _CONTROL, _LOCATION = b"retry-after", b"webhook-delivery", b"location"
_FRAMING = (b"content-length", b"transfer-encoding")
_TOLD = frozenset({_RETRY_AFTER, _CONTROL, _LOCATION, *_FRAMING})


class Response:
    """An answer while it comes in.

    Args:
        limit: bytes of the body that are read; beyond that the answer is over.
    """

    def __init__(self, limit: int) -> None:
        #: None until the headers have come.
        self.status: int | None = None
        #: Bytes that came, of whatever kind.
        self.heard = 0
        #: Whether nothing more is waited for.
        self.is_over = False
        #: Whether its connection can be used again.
        self.is_kept = False
        self._left = limit
        self._most = MAX_HEAD_BYTES + FRAMED * limit
        self._lines = self._header_bytes = 0
        self._told: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._is_whole = False
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # What receivers do, and what none can misuse: nothing that is read here is passed on.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            MalformedAnswer: it is no answer, or its headers are beyond the limits.
        """
        if self.heard + len(data) > MAX_HEAD_BYTES:
            for bound in (MAX_HEAD_BYTES + 1, self._most + 1):
                left = bound - self.heard
                if 0 < left < len(data):
                    # The bound is checked where it lies, in whatever pieces the bytes come.
                    self.feed(data[:left])
                    self.feed(data[left:])
                    return
        self.heard += len(data)
        if self._parser is None:
            # Nobody asked for what follows an answer, and it is not to be taken for the next one. Empty lines say nothing.
            if data.strip(b"\r\n"):
                self.is_kept = False
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.give_up()
        else:
            if self.heard > MAX_HEAD_BYTES and (self.status is None or self.heard > self._most):
                self.give_up()
        if self.is_over:
            # It knows this object by its methods: together they would be left to the collector.
            self._parser = None
            if self.status is None:
                raise MalformedAnswer

    def close(self) -> None:
        """Note that the receiver has said its last: a body that nothing else bounds is whole."""
        self._is_whole = self._is_whole or self._told.keys().isdisjoint(_FRAMING)
        self.give_up()

    def give_up(self) -> None:
        """Wait for no more."""
        self.is_over, self.is_kept = True, False

    def answer(self) -> Answer:
        """Return what has come, once there is a `status`."""
        status = self.status
        if status is None:
            raise RuntimeError("nothing has been answered yet")
        control, location = self._text_of(_CONTROL), self._text_of(_LOCATION)
        return Answer(
            status=status,
            retry_after=self._text_of(_RETRY_AFTER),
            control=None if control is None else control.strip().lower()[:_CONTROL_LENGTH],
            location=_host(location) if 300 <= status <= 399 else None,
            text=self._text(KEPT_OF_SUCCESS if 200 <= status <= 299 else KEPT_OF_FAILURE),
        )

    # What the parser calls. What it is fed may hold more than one answer: the first that is not interim counts.

    def on_message_begin(self) -> None:
        if self.is_over:
            self.is_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is not None:
            return  # a trailer
        size = len(name) + len(value)
        self._lines += 1
        self._header_bytes += size
        is_much = self._lines > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES or size > MAX_LINE_BYTES
        if is_much or b"\0" in value:
            raise MalformedAnswer
        name = name.lower()
        if name in _TOLD:
            self._told.setdefault(name, value)

    def on_headers_complete(self) -> None:
        if self.status is not None or self._parser is None:
            return
        status = self._parser.get_status_code()
        if 100 <= status <= 199 and status != _SWITCHING:
            self._lines = self._header_bytes = 0
            self._told.clear()
            return
        self.status = status
        if status == _SWITCHING:
            # What follows is another protocol.
            self.give_up()

    def on_body(self, piece: bytes) -> None:
        if self.is_over:
            return
        self._body += piece[: min(KEPT_OF_FAILURE - len(self._body), self._left)]
        self._left -= len(piece)
        if self._left <= 0:
            self.give_up()

    def on_message_complete(self) -> None:
        if self.status is None or self.is_over or self._parser is None:
            return
        self.is_over = self._is_whole = True
        self.is_kept = self._parser.should_keep_alive()

    def _text_of(self, header: bytes) -> str | None:
        value = self._told.get(header)
        return None if value is None else value.rstrip(b" \t").decode(errors="surrogateescape")

    def _text(self, limit: int) -> str | None:
        """Return the beginning of the body as text that a database takes: no NUL, no half characters at its end."""
        if not self._body:
            return None
        body = bytes(self._body[:limit])
        if body.isascii():
            return body.decode().replace("\0", "") or None
        is_whole = self._is_whole and len(self._body) <= limit and len(self._body) < KEPT_OF_FAILURE
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(body, final=is_whole).replace("\0", "")
        # What stands for a byte that is no text takes three.
        return text.encode()[:limit].decode(errors="ignore") or None


def _host(location: str | None) -> str | None:
    """Return the host a redirect names; the rest of it may hold what is nobody's business."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        return None
    return host if host and len(host) <= _HOST_LENGTH and host.isascii() and host.isprintable() else None
