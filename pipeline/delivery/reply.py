"""What a receiver answered: the status line decides, whatever becomes of the body behind it."""

from __future__ import annotations

import codecs
from urllib.parse import urlsplit

import aiohttp

from pipeline.domain.delivery import Answer

#: Bytes and lines of an answer's headers.
MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 100
#: Bytes of an answer's body that are kept, as UTF-8: of a failure to look into, of a success as a sign.
KEPT_OF_FAILURE, KEPT_OF_SUCCESS = 4_096, 256

_CONTROL_LENGTH = 64
_HOST_LENGTH = 253


class Reply:
    """An answer while it comes in."""

    def __init__(self) -> None:
        self.response: aiohttp.ClientResponse | None = None
        self._body = bytearray()
        self._is_whole = False

    async def read(self, response: aiohttp.ClientResponse, limit: int) -> None:
        """Take the status line, and read up to `limit` bytes of the body; beyond that the connection is closed."""
        self.response = response
        left = limit
        while not response.content.at_eof():
            piece = await response.content.readany()
            self._body += piece[: KEPT_OF_FAILURE - len(self._body)]
            left -= len(piece)
            if left <= 0:
                response.close()
                return
        self._is_whole = len(self._body) < KEPT_OF_FAILURE

    def answer(self) -> Answer:
        """Return what has come, once there is a `response`."""
        response = self.response
        if response is None:
            raise RuntimeError("nothing has been answered yet")
        if sum(len(name) + len(value) for name, value in response.raw_headers) > MAX_HEADER_BYTES:
            return Answer(error="protocol_error")
        headers = response.headers
        control = headers.get("webhook-delivery")
        return Answer(
            status=response.status,
            retry_after=headers.get("retry-after"),
            control=None if control is None else control.strip().lower()[:_CONTROL_LENGTH],
            location=_host(headers.get("location")) if 300 <= response.status <= 399 else None,
            text=self._text(KEPT_OF_SUCCESS if 200 <= response.status <= 299 else KEPT_OF_FAILURE),
        )

    def _text(self, limit: int) -> str | None:
        """Return the beginning of the body as text that a database takes: no NUL, no half characters at its end."""
        if not self._body:
            return None
        body, is_whole = bytes(self._body[:limit]), self._is_whole and len(self._body) <= limit
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
