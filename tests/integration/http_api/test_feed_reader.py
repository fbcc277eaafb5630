"""A reader of a log while things happen between each two of its steps: it misses nothing and repeats nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from pipeline.access.caller import LOCAL
from pipeline.domain.api_key import Scope
from pipeline.http_api.authentication import Keyring
from pipeline.http_api.gateway import Gateway, GatewayOptions
from pipeline.http_api.pools import Pool
from pipeline.http_api.streaming import batch_feed
from pipeline.http_api.streaming.batch_feed import LogSlice
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.open_streams import OpenStream
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import client_context, connect

#: Steps of a reader until it is live, and some more.
STEPS = 12
ITEMS = 60


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """What a server shares, without a server."""
    with connect(tmp_path) as client:
        context, quick = client_context(client), Pool.quick()
        made = Gateway(context, GatewayOptions(), Keyring(context, quick, is_open=True), quick=quick)
        try:
            yield made
        finally:
            made.close()


class SteppedReader(FeedReader):
    """Calls a function between each two steps."""

    def __init__(self, gateway: Gateway, batch: WrittenBatch, between: Callable[[], Awaitable[None]]) -> None:
        stream = OpenStream(LOCAL, HTTPConnection({"type": "http", "headers": [], "query_string": b""}), Scope.READ)
        super().__init__(gateway, stream, batch.row_id, 0)
        self._between = between

    async def read(self) -> LogSlice | None:
        await self._between()
        found = await super().read()
        await self._between()
        return found

    async def _read_page(self) -> LogSlice | None:
        await self._between()
        found = await super()._read_page()
        await self._between()
        return found

    async def wait(self, seconds: float) -> bool:
        await self._between()
        return await super().wait(seconds)


@pytest.mark.parametrize("is_seen", [False, True], ids=["at once", "after the hub has seen it"])
@pytest.mark.parametrize("step", range(STEPS))
def test_what_happens_between_two_steps_is_read_once(
    gateway: Gateway, tmp_path: Path, step: int, is_seen: bool
) -> None:
    batch = write_batch(gateway.context, tmp_path, ITEMS)
    batch.finish(5)
    taken = 0

    async def between() -> None:
        nonlocal taken
        taken += 1
        if taken in (step, step + 1) or taken > STEPS + 2:
            batch.finish(min(7, ITEMS - batch.finished)) if batch.finished < ITEMS else None
            if is_seen:
                await seen_by_hub(gateway, batch)

    assert asyncio.run(read_all(SteppedReader(gateway, batch, between))) == list(range(1, ITEMS + 2))


def test_a_reader_that_is_too_far_behind_reads_the_database(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_feed, "MAX_EVENTS", 4)
    batch = write_batch(gateway.context, tmp_path, ITEMS)

    async def between() -> None:
        # Several polls while the reader stands still: the first ones are no longer kept.
        for _ in range(3):
            if batch.finished < ITEMS:
                batch.finish(2)
                await seen_by_hub(gateway, batch)

    assert asyncio.run(read_all(SteppedReader(gateway, batch, between))) == list(range(1, ITEMS + 2))


def test_one_poll_reads_the_log_for_all_readers(gateway: Gateway, tmp_path: Path) -> None:
    batch = write_batch(gateway.context, tmp_path, ITEMS)
    slices: list[set[int]] = []

    async def nothing() -> None:
        pass

    async def read(reader: FeedReader) -> list[int]:
        found: list[int] = []
        with reader.joined():
            while not reader.is_at_end:
                each = await reader.read()
                if each is None:
                    await reader.wait(0.005)
                    continue
                slices.append({id(each)})
                found += [event.seq for event in each.events]
        return found

    async def run() -> list[list[int]]:
        readers = [asyncio.create_task(read(SteppedReader(gateway, batch, nothing))) for _ in range(20)]
        while gateway.hub.readers < 20:
            await asyncio.sleep(0)
        await seen_by_hub(gateway, batch)
        await asyncio.to_thread(batch.finish, ITEMS)
        return await asyncio.gather(*readers)

    assert asyncio.run(run()) == [list(range(1, ITEMS + 2))] * 20
    assert len(set().union(*slices)) < 20


async def read_all(reader: SteppedReader) -> list[int]:
    found: list[int] = []
    await reader._between()
    with reader.joined():
        await reader._between()
        while not reader.is_at_end:
            each = await reader.read()
            if each is None:
                await reader.wait(0.005)
            else:
                assert each.first_seq == (found[-1] if found else 0) + 1
                found += [event.seq for event in each.events]
    return found


async def seen_by_hub(gateway: Gateway, batch: WrittenBatch) -> None:
    """Wait until the hub has published what is in the log, if anybody follows the batch."""
    last_seq = batch.finished + (batch.finished == batch.total)
    while (feed := gateway.hub._feeds.get(batch.row_id)) is not None:
        if feed.version is not None and feed.version.last_seq >= last_seq:
            return
        await asyncio.sleep(0.002)
