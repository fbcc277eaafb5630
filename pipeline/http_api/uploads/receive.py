"""Run a use case in a thread that reads the body of the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from pipeline.http_api.call import ApiCall
from pipeline.http_api.uploads.body_format import BodyFormat, read_content_digest
from pipeline.http_api.uploads.request_stream import RequestStream
from pipeline.http_api.uploads.uploaded_body import DIVIDE, UploadedBody, too_large

T = TypeVar("T")


async def receive(
    call: ApiCall,
    body_format: BodyFormat,
    limit: int,
    use: Callable[[UploadedBody], T],
    reading: Mapping[str, str] | None = None,
    advice: str = DIVIDE,
) -> T:
    """Return what `use` returns, called in a thread for whole batches with the body of the request.

    Args:
        limit: bytes that the body may have.
        reading: the options by which its items are read, those with their defaults left out.
        advice: what to do instead of sending a body that is too large.

    Raises:
        Problem: body_too_large, before anything is read; busy; and what reading the body raises.
    """
    headers = call.request.headers
    expected = read_content_digest(headers)
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large(limit, advice)
    stream = RequestStream(asyncio.get_running_loop())
    body = UploadedBody(
        stream,
        limit=limit,
        is_gzip=body_format.is_gzip,
        expected=expected,
        awaits_word=headers.get("expect", "").lower() == "100-continue",
        reading=reading,
        advice=advice,
    )
    feeding = asyncio.create_task(stream.feed(call.request.stream()))
    try:
        return await call.bulk(use, body)
    finally:
        feeding.cancel()
