"""Files behind https: URLs, read with GET."""

from __future__ import annotations

import http.client
import io
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from pipeline.errors import InvalidInput, SourceChanged, SourceUnavailable
from pipeline.sources.ranges import BLOCK_BYTES, RangeStream
from pipeline.sources.source_access import SourceAccess
from pipeline.sources.source_file import SourceFile
from pipeline.sources.url import SourceUrl
from pipeline.sources.web.guarded_connection import GuardedConnection, RefusedAddress
from pipeline.version import installed_version

_MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
#: Attempts to get a range, and the seconds before the second one; they double.
_ATTEMPTS = 5
_FIRST_PAUSE = 0.2
_TIMEOUT = 30.0
#: Bytes of one request where the file is read in any order.
_RANDOM_BYTES = 1024 * 1024
#: A server's answer that may be another one next time.
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


def find_files(url: SourceUrl, access: SourceAccess) -> list[SourceFile]:
    """Return the file that a URL names."""
    return [HttpsFile(url, access)]


class _Answer(NamedTuple):
    """What a server says about a file.

    Args:
        url: that the redirects led to.
        size: None: not said, or of compressed content.
        validator: a strong ETag, or the time of the last change; None: there is neither.
        ranges: whether parts can be asked for.
    """

    url: str
    media_type: str | None
    size: int | None
    validator: str | None
    ranges: bool


class HttpsFile(SourceFile):
    """A file behind an https: URL. Nothing is sent that says who asks: no cookies, and no logins of a netrc file.

    Args:
        access: what may be reached.
        context: verifies the server; default: by the certificates of the system.
    """

    def __init__(self, url: SourceUrl, access: SourceAccess, context: ssl.SSLContext | None = None) -> None:
        self._url, self._access = url, access
        self._context = context or ssl.create_default_context()
        self._answer: _Answer | None = None

    @property
    def name(self) -> str:
        return self._url.shown

    @property
    def path_name(self) -> str:
        return self._url.path.rpartition("/")[2]

    @property
    def media_type(self) -> str | None:
        # What a server says of any file whose kind it does not know.
        found = None if self._answer is None else self._answer.media_type
        return None if found in ("application/octet-stream", "binary/octet-stream") else found

    @property
    def can_seek(self) -> bool:
        answer = self._ask()
        return answer.ranges and answer.size is not None

    def size(self) -> int | None:
        return self._ask().size

    def fingerprint(self) -> str | None:
        answer = self._ask()
        if answer.validator is None or not self.can_seek:
            return None
        return f"https:{answer.size}:{answer.validator}"

    @contextmanager
    def open_stream(self, offset: int = 0) -> Iterator[io.BufferedReader]:
        if self.can_seek:
            stream = RangeStream(self._read_range, self.size() or 0, block_bytes=BLOCK_BYTES)
            stream.seek(offset)
            yield io.BufferedReader(stream)
            return
        with self._get({}) as response:
            self._expect(response, 200)
            # Content that the server has compressed is recognized by its first bytes, like a compressed file.
            yield io.BufferedReader(_Body(response, self.name))

    @contextmanager
    def open_random(self) -> Iterator[io.BufferedReader]:
        yield io.BufferedReader(RangeStream(self._read_range, self.size() or 0, block_bytes=_RANDOM_BYTES))

    def _ask(self) -> _Answer:
        """Return what the server says about the file; it is asked once."""
        if self._answer is None:
            with self._get({"Range": "bytes=0-0"}) as response:
                self._expect(response, 200, 206)
                self._answer = _read_answer(response, self._current)
        return self._answer

    def _read_range(self, start: int, size: int) -> bytes:
        answer = self._ask()
        headers = {"Range": f"bytes={start}-{start + size - 1}"}
        if answer.validator is not None:
            name = "If-Match" if answer.validator.startswith('"') else "If-Unmodified-Since"
            headers[name] = answer.validator
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._get(headers) as response:
                    if response.status == 412:
                        raise SourceChanged(f"{self.name} was replaced while it was read; submit it again")
                    if response.status not in _TRANSIENT:
                        self._expect(response, 206)
                        content = response.read()
                        if len(content) == size:
                            return content
            except SourceUnavailable:
                # Tried again.
                pass
            if attempt < _ATTEMPTS:
                time.sleep(pause)
            pause *= 2
        raise SourceUnavailable(f"{self.name} cannot be read on at byte {start:,}; run the same command again")

    @contextmanager
    def _get(self, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """Send a GET and follow its redirects. `_current` is then the URL that they led to."""
        self._current = self._answer.url if self._answer is not None else self._url.text
        for _ in range(_MAX_REDIRECTS + 1):
            connection = self._connect(self._current)
            try:
                parts = urlsplit(self._current)
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", target, headers={**_HEADERS, **headers})
                response = connection.getresponse()
                if response.status not in _REDIRECTS:
                    yield response
                    return
                self._current = self._redirected(response)
            except RefusedAddress as error:
                raise InvalidInput(f"{self.name} leads to an address that may not be reached") from error
            except ssl.SSLCertVerificationError as error:
                raise InvalidInput(
                    f"{self.name}: the server's certificate is not valid: {error.verify_message}"
                ) from None
            except OSError as error:
                raise SourceUnavailable(f"{self.name} cannot be reached: {error.strerror or error}") from error
            except http.client.HTTPException as error:
                raise SourceUnavailable(f"{self.name}: the server's answer cannot be read: {error!r}") from error
            finally:
                connection.close()
        raise InvalidInput(f"{self.name} leads to more than {_MAX_REDIRECTS} redirects")

    def _connect(self, url: str) -> http.client.HTTPSConnection:
        parts = urlsplit(url)
        return GuardedConnection(parts.hostname or "", parts.port or 443, self._access, self._context, _TIMEOUT)

    def _redirected(self, response: http.client.HTTPResponse) -> str:
        target = urljoin(self._current, response.getheader("Location") or "")
        parts = urlsplit(target)
        if parts.scheme != "https" or parts.username is not None:
            raise InvalidInput(f"{self.name} leads to {parts.scheme}://{parts.hostname}, which is not read")
        return target

    def _expect(self, response: http.client.HTTPResponse, *statuses: int) -> None:
        status = response.status
        if status in statuses:
            return
        if status in (401, 403):
            raise InvalidInput(f"{self.name} needs a login: the server answered {status} {response.reason}")
        if status in _TRANSIENT:
            raise SourceUnavailable(f"{self.name}: the server answered {status} {response.reason}; try again later")
        raise InvalidInput(f"{self.name}: the server answered {status} {response.reason}")


_HEADERS = {"User-Agent": f"pipeline/{installed_version()}", "Accept": "*/*", "Accept-Encoding": "identity"}


class _Body(io.RawIOBase):
    """The body of an answer, whose end is checked: a connection that is cut is no end."""

    def __init__(self, response: http.client.HTTPResponse, name: str) -> None:
        self._response, self._name = response, name

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        buffer = memoryview(target).cast("B")
        try:
            found = self._response.read1(len(buffer))
            if not found and self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
        except (OSError, http.client.HTTPException):
            raise SourceUnavailable(
                f"{self._name}: the connection was lost, and the server does not say how to go on; submit it again"
            ) from None
        buffer[: len(found)] = found
        return len(found)


def _read_answer(response: http.client.HTTPResponse, url: str) -> _Answer:
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise InvalidInput(f"{url.partition('?')[0]}: the server encodes the content as {encoding}, which is not read")
    etag = response.getheader("ETag") or ""
    is_part = response.status == 206 and encoding == "identity"
    # Of the part: `bytes 0-0/1234`.
    total = (response.getheader("Content-Range") or "").rpartition("/")[2] if is_part else ""
    length = total or (response.getheader("Content-Length") or "")
    return _Answer(
        url,
        response.getheader("Content-Type"),
        int(length) if length.isdecimal() and encoding == "identity" else None,
        etag if etag.startswith('"') else response.getheader("Last-Modified"),
        is_part and total.isdecimal(),
    )
