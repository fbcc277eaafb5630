"""gzip, for callers that ask for it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator
from gzip import compress

from starlette.requests import Request
from starlette.responses import Response

from pipeline.http_api.streaming.live_response import LiveResponse
from pipeline.http_api.streaming.media_types import accepts_gzip

#: Shorter answers would hardly become shorter.
_LEAST_BYTES = 1024
#: Longer ones are compressed in a thread: the event loop goes on meanwhile.
_THREAD_BYTES = 32 * 1024
_LEVEL = 4
#: For `zlib`: with the header of gzip.
_GZIP_WINDOW = 31


def wants_gzip(request: Request) -> bool:
    """Return whether the caller asks for gzip."""
    return accepts_gzip(request.headers.get("accept-encoding", ""))


async def compressed(request: Request, response: Response) -> Response:
    """Return a response, compressed if its caller asks for that and it is worth it."""
    if isinstance(response, LiveResponse) or len(response.body) < _LEAST_BYTES:
        return response
    response.headers.add_vary_header("Accept-Encoding")
    if not wants_gzip(request) or "content-encoding" in response.headers:
        return response
    body = bytes(response.body)
    if len(body) > _THREAD_BYTES:
        response.body = await asyncio.to_thread(compress, body, _LEVEL)
    else:
        response.body = compress(body, _LEVEL)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Content-Length"] = str(len(response.body))
    return response


async def compress_chunks(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the compressed form of a download. One that is cut off ends in the middle of it, as it should."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    try:
        async for chunk in chunks:
            found = await asyncio.to_thread(compressor.compress, chunk)
            if found:
                yield found
        yield compressor.flush()
    finally:
        await chunks.aclose()
