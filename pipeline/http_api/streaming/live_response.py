"""A response that goes on for as long as there is something to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.http_api.streaming.open_streams import OpenStream, OpenStreams

#: The name of the connection among the extensions of a request's scope.
_CONNECTION = "pipeline.connection"
#: Bytes handed to the server at once, which holds about twice as much for a slow reader.
_PIECE_BYTES = 64 * 1024


class PeerConnection(Protocol):
    """The connection under a request. The server itself cuts it off when its reader takes nothing for too long."""

    def abort(self) -> None:
        """Close it now. What was not sent is dropped, so that the peer does not take it for whole."""

    def limit_buffer(self) -> None:
        """Have the kernel hold little, so that a reader that takes nothing is found early."""


class CutOff(Exception):
    """What was sent is not all, and must not look as if it were: the connection is to be cut off."""


class LiveResponse(Response):
    """Sends what a generator yields, until it ends or the reader leaves.

    Args:
        chunks: is closed in any case. It may raise `CutOff`.
        stream: is told when the reader leaves, and counted out at the end.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        streams: OpenStreams,
        stream: OpenStream,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, 200, headers, media_type)
        # Its length is not known.
        del self.headers["content-length"]
        self._chunks, self._streams, self._stream = chunks, streams, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        if connection is not None:
            connection.limit_buffer()
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # HEAD asks for the headers alone.
            if scope["method"] != "HEAD":
                await self._send_chunks(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except CutOff:
            # Without a connection at hand, the server closes it since the response was not completed.
            if connection is not None:
                connection.abort()
        finally:
            watching.cancel()
            self._streams.close(self._stream)
            await self._chunks.aclose()

    async def _send_chunks(self, send: Send) -> None:
        async for chunk in self._chunks:
            for start in range(0, len(chunk), _PIECE_BYTES):
                if self._stream.is_left:
                    return
                piece = chunk[start : start + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.leave()


def connection_of(scope: Scope) -> PeerConnection | None:
    """Return the connection under a request, if its server hands it out."""
    return cast("PeerConnection | None", (scope.get("extensions") or {}).get(_CONNECTION))
