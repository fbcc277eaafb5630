"""A body on its way from the event loop to a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import ClientDisconnect

from pipeline.http_api.problems import Problem
from pipeline.http_api.uploads.request_stream import QUEUE_BYTES, RequestStream

CHUNK = b"x" * 65_536


async def receive(chunks: AsyncIterator[bytes], read: str) -> bytes:
    """Feed a stream with chunks, and return what a thread reads of it."""
    loop = asyncio.get_running_loop()
    stream = RequestStream(loop)
    feeding = asyncio.create_task(stream.feed(chunks))
    with ThreadPoolExecutor(1) as pool:
        found = await loop.run_in_executor(pool, stream.readall if read == "all" else lambda: stream.read(10))
        feeding.cancel()
    return found or b""


def test_chunks_arrive_in_order_and_end() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d;" % number
            yield b""

    assert asyncio.run(receive(chunks(), "all")) == b"".join(b"%d;" % number for number in range(100))


def test_no_more_is_taken_than_the_queue_holds() -> None:
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield CHUNK

    async def run() -> None:
        stream = RequestStream(asyncio.get_running_loop())
        feeding = asyncio.create_task(stream.feed(chunks()))
        for _ in range(100):
            await asyncio.sleep(0)
        # Nobody has read yet, so a client that waits for word has not been told to send.
        assert taken == 0
        await asyncio.to_thread(stream.read, 1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert QUEUE_BYTES // len(CHUNK) <= taken <= QUEUE_BYTES // len(CHUNK) + 2
        feeding.cancel()

    asyncio.run(run())


@pytest.mark.parametrize("failure", [ClientDisconnect(), Problem("bad_request", "too slow")])
def test_what_ends_a_body_early_is_raised_where_it_is_read(failure: Exception) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise failure

    with pytest.raises(Problem, match="the connection ended|too slow"):
        asyncio.run(receive(chunks(), "all"))


def test_a_stream_that_is_given_up_ends_the_read() -> None:
    async def run() -> None:
        async def chunks() -> AsyncIterator[bytes]:
            await asyncio.sleep(3_600)
            yield b""

        stream = RequestStream(asyncio.get_running_loop())
        feeding = asyncio.create_task(stream.feed(chunks()))
        reading = asyncio.create_task(asyncio.to_thread(stream.read, 1))
        while not stream.has_begun:
            await asyncio.sleep(0)
        feeding.cancel()
        with pytest.raises(Problem, match="ended"):
            await reading

    asyncio.run(run())
