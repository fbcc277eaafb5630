"""Requests to a server, repeated where that is safe and may help."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from pipeline.client.remote.answers import value_of
from pipeline.client.remote.connections import Connections, HttpAnswer
from pipeline.client.session import closed
from pipeline.domain.backoff import Backoff
from pipeline.errors import Unreachable

#: Times that a request is sent, at most.
MAX_ATTEMPTS = 5
#: Statuses after which the same request may succeed later.
_TEMPORARY = frozenset({429, 502, 503, 504})
#: A longer pause that the server asks for is not waited out.
_MAX_PAUSE = 60.0
_JSON = "application/json"
#: Entries of a list in one request.
PAGE = 500

Query = Mapping[str, str | int | float | bool | None]


class Server:
    """A server of the HTTP API. Thread-safe.

    Args:
        api_key: None where the server wants none.
    """

    def __init__(self, url: str, api_key: str | None, *, backoff: Backoff | None = None) -> None:
        self._connections = Connections(url)
        self._authorization = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._backoff = backoff or Backoff(base=timedelta(seconds=0.2), cap=timedelta(seconds=10))
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Server({self._connections.origin!r})"

    def get(self, path: str, **query: str | int | float | bool | None) -> Any:
        """Return the JSON value at a path; parameters that are None are left out.

        Raises:
            PipelineError: see `value_of`.
            Unreachable: the server does not answer.
            ClientClosed: the client was closed.
        """
        return value_of(self.send("GET", path, query=query, is_repeatable=True))

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = False,
    ) -> Any:
        """Send a change and return the JSON value of the answer; raise like `get`.

        Args:
            body: a value to send as JSON; None: no body.
            is_repeatable: whether a second request of the same text changes nothing more.
        """
        encoded = None if body is None else orjson.dumps(body)
        given = {"Content-Type": _JSON} if encoded is not None else {}
        sent = self.send(
            method, path, encoded, query=query, headers={**given, **(headers or {})}, is_repeatable=is_repeatable
        )
        return value_of(sent)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool,
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status.

        Raises:
            Unreachable: the server does not answer, also after retries.
            ClientClosed: the client was closed.
        """
        target = path + _encoded(query or {})
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self.check_open()
            is_last = attempt == MAX_ATTEMPTS or not is_repeatable
            try:
                answer = self._connections.send(method, target, body, {**self._authorization, **(headers or {})})
            except (OSError, http.client.HTTPException) as error:
                if is_last:
                    raise self._unreachable(error) from error
                pause = self._backoff.delay_after(attempt).total_seconds()
            else:
                asked = _retry_after(answer)
                # A conflict that passes: an earlier attempt whose answer was lost is still under way.
                is_temporary = answer.status in _TEMPORARY or (answer.status == 409 and asked > 0)
                if not is_temporary or is_last or asked > _MAX_PAUSE:
                    return answer
                pause = self._backoff.delay_after(attempt, retry_after=asked).total_seconds()
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def entries(
        self, path: str, *, limit: int | None = None, **query: str | int | float | bool | None
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list; each page is asked for when its first entry is.

        Args:
            limit: at most so many in all; None: all.
        """
        after, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            page = self.get(path, after=after, limit=size, **query)
            for entry in page["data"][:size]:
                self.check_open()
                yield entry
            if not page["has_more"]:
                return
            after, left = page["next"], left if left is None else left - len(page["data"])

    def check_open(self) -> None:
        """Raise `ClientClosed` if the client was closed."""
        if self._is_closed:
            raise closed()

    def close(self) -> None:
        """Refuse every later request."""
        self._is_closed = True
        self._connections.close()

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = str(error) or type(error).__name__
        return Unreachable(
            f"the server {self._connections.origin} does not answer: {reason}; check PIPELINE_SERVER_URL, and whether "
            "`pipeline serve` runs there"
        )


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def _encoded(query: Query) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""


def _retry_after(answer: HttpAnswer) -> float:
    """Return the seconds that a server asked to wait. Ours sends no dates."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
