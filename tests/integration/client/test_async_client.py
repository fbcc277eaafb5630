"""The asynchronous client: the methods of `Client` as coroutines, off the event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

import pipeline
from pipeline.crypto.encryption import new_encryption_key
from tests.support.factories import make_definition, make_items
from tests.support.receiver import SECRET, Receiver

TWINS = [
    (pipeline.Client, pipeline.AsyncClient),
    (pipeline.Batch, pipeline.AsyncBatch),
    (pipeline.Endpoint, pipeline.AsyncEndpoint),
    (pipeline.Delivery, pipeline.AsyncDelivery),
]
#: On a loop it takes a function, since a connection blocks.
OTHERWISE = {"transaction"}

Run = Callable[[Callable[[pipeline.AsyncClient], Awaitable[Any]]], Any]


@pytest.fixture
def run(database_url: str) -> Run:
    """Run a coroutine function with a client, on an event loop of its own."""

    async def main(work: Callable[[pipeline.AsyncClient], Awaitable[Any]]) -> Any:
        settings: dict[str, Any] = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
        async with pipeline.AsyncClient(
            database_url=database_url, encryption_key=new_encryption_key(), **settings
        ) as client:
            return await work(client)

    return lambda work: asyncio.run(main(work))


def methods(owner: type) -> dict[str, inspect.Signature]:
    functions = {name: value for name, value in vars(owner).items() if inspect.isfunction(value)}
    return {name: inspect.signature(value) for name, value in functions.items() if not name.startswith("_")}


def parameters(signature: inspect.Signature) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in signature.parameters.values()]


@pytest.mark.parametrize(("plain", "asynchronous"), TWINS, ids=lambda each: each.__name__)
def test_the_twins_have_the_same_methods_with_the_same_parameters(plain: type, asynchronous: type) -> None:
    mine, theirs = methods(plain), methods(asynchronous)
    assert list(mine) == list(theirs)
    differing = {name for name in mine if parameters(mine[name]) != parameters(theirs[name])}
    assert differing == OTHERWISE & set(mine)


def test_connect_and_the_asynchronous_client_take_the_same_arguments() -> None:
    # A server has no asynchronous client.
    connect = [
        each for each in parameters(inspect.signature(pipeline.connect)) if each[0] not in ("server_url", "api_key")
    ]
    assert connect == parameters(inspect.signature(pipeline.AsyncClient))


def test_a_batch_is_submitted_followed_and_looked_at(run: Run, tmp_path: Path) -> None:
    async def work(client: pipeline.AsyncClient) -> None:
        batch = await client.submit(make_items(30), make_definition(tmp_path), idempotency_key="k")
        results = [result async for result in batch.results(follow=True)]
        assert [result.seq for result in results] == list(range(1, 31))
        assert [result.seq async for result in batch.results(after=28)] == [29, 30]
        progress = await batch.wait(timeout=30)
        assert (progress.succeeded, progress.is_complete) == (30, True)
        assert await batch.labels() == {"short": 30}
        found = await client.batch("last")
        assert (found.id, found.is_new, batch.is_new) == (batch.id, False, True)
        assert [each.batch_id async for each in client.batches(limit=5)] == [batch.id]

    run(work)


def test_items_may_come_from_an_asynchronous_generator_that_uses_the_client(run: Run, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)

    async def items(client: pipeline.AsyncClient) -> AsyncIterator[pipeline.Item]:
        for number in range(1_200):
            if number % 100 == 0:
                assert len([each async for each in client.batches()]) <= 10
            yield pipeline.Item({"text": f"text {number}"}, key=str(number))

    async def work(client: pipeline.AsyncClient) -> None:
        # More at once than the client has threads.
        batches = await asyncio.gather(*(client.submit(items(client), definition) for _ in range(10)))
        assert len({batch.id for batch in batches}) == 10
        for batch in batches:
            await batch.cancel()
        assert [each.total async for each in client.batches()] == [1_200] * 10

    run(work)


def test_an_asynchronous_generator_that_fails_stores_nothing(run: Run, tmp_path: Path) -> None:
    async def items() -> AsyncIterator[dict[str, str]]:
        for text_ in ("a", "b"):
            yield {"text": text_}
        raise ConnectionError("the source is gone")

    async def work(client: pipeline.AsyncClient) -> None:
        with pytest.raises(ConnectionError, match="the source is gone"):
            await client.submit(items(), make_definition(tmp_path))
        assert [each async for each in client.batches()] == []

    run(work)


@pytest.mark.parametrize("is_async", [True, False])
def test_a_submission_that_is_cancelled_leaves_nothing(run: Run, tmp_path: Path, is_async: bool) -> None:
    begun = threading.Event()
    cancelled = threading.Event()

    async def slow() -> AsyncIterator[dict[str, str]]:
        yield {"text": "a"}
        begun.set()
        await asyncio.Event().wait()

    def endless() -> Iterator[dict[str, str]]:
        while True:
            yield {"text": "a"}
            begun.set()
            assert cancelled.wait(30)

    async def work(client: pipeline.AsyncClient) -> None:
        submitting = asyncio.ensure_future(client.submit(slow() if is_async else endless(), make_definition(tmp_path)))
        await asyncio.to_thread(begun.wait, 30)
        submitting.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        assert [each async for each in client.batches()] == []

    run(work)


def test_a_batch_is_paused_resumed_replayed_and_cancelled(run: Run, tmp_path: Path) -> None:
    async def work(client: pipeline.AsyncClient) -> None:
        # So many that they are not finished before they are paused.
        batch = await client.submit(make_items(1_000), make_definition(tmp_path))
        await batch.pause()
        with pytest.raises(pipeline.WaitTimeout):
            await batch.wait(timeout=0)
        await batch.resume()
        assert (await batch.wait(timeout=30)).succeeded == 1_000
        assert await batch.replay_dead() == 0
        with pytest.raises(pipeline.Conflict):
            await batch.cancel()

    run(work)


def test_a_wait_can_be_cut_short_from_outside(run: Run, tmp_path: Path) -> None:
    async def work(client: pipeline.AsyncClient) -> None:
        # So many that they are not finished before they are paused.
        batch = await client.submit(make_items(1_000), make_definition(tmp_path))
        await batch.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await batch.wait()

    run(work)


def test_endpoints_and_deliveries(run: Run, tmp_path: Path) -> None:
    async def work(client: pipeline.AsyncClient) -> None:
        with Receiver() as receiver:
            endpoint = client.endpoint(receiver.url)
            info = await endpoint.configure(rate=1_000, headers={"X-Key": "hidden"})
            assert (info.settings.rate, info.headers) == (1_000, ("x-key",))
            assert (await endpoint.test()).is_success
            assert await endpoint.disable("it moves") == 0
            batch = await client.submit(make_items(2), make_definition(tmp_path), callback_url=receiver.url)
            await batch.wait(timeout=30)
            assert [each.origin async for each in client.endpoints(state="disabled")] == [endpoint.origin]
            # The sender pauses what it finds due.
            while len([each async for each in client.deliveries(state="paused")]) < 2:
                await asyncio.sleep(0)
            assert await endpoint.enable() == 2
            await asyncio.to_thread(receiver.wait_for, lambda seen: len(seen.of_type("item.completed")) == 2)
            while len(found := [each async for each in client.deliveries(batch=batch, state="delivered")]) < 2:
                await asyncio.sleep(0.01)
            assert {each.webhook_id for each in found} < set(receiver.bodies), "the ping came as well"
            delivery = await client.delivery(found[0].webhook_id)
            assert delivery == found[0]
            assert [each.outcome for each in await delivery.history()] == ["succeeded"]
            assert (await delivery.replay()).state is pipeline.DeliveryState.PENDING
            assert await client.replay_deliveries(batch=batch, states="dead") == 0
            assert await client.replay_missing(f"{receiver.url}/late", batch, dry_run=True) == 2
            assert (await endpoint.rotate_secret()).startswith("whsec_")
            await endpoint.forget_secret()
            assert (await endpoint.show()).secrets == ()

    run(work)


def test_a_transaction_runs_off_the_loop(run: Run) -> None:
    loop_thread = threading.get_ident()

    def count(connection: Connection) -> int:
        assert threading.get_ident() != loop_thread
        connection.execute(text("CREATE TABLE notes (word TEXT)"))
        connection.execute(text("INSERT INTO notes VALUES ('a')"))
        return int(connection.scalar(text("SELECT count(*) FROM notes")) or 0)

    async def work(client: pipeline.AsyncClient) -> None:
        assert await client.transaction(count) == 1

    run(work)


def test_bad_settings_are_told_at_once_and_a_closed_client_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(pipeline.InvalidSettings, match="LEASE_SECONDS"):
        pipeline.AsyncClient(lease_seconds=0)

    async def work() -> None:
        file = tmp_path / "never.db"
        client = pipeline.AsyncClient(database_url=f"sqlite:///{file}")
        endpoint = client.endpoint("https://example.com/hook")
        await client.close()
        await client.close()
        with pytest.raises(pipeline.Conflict, match="this client is closed"):
            await endpoint.show()
        assert not file.exists()

    asyncio.run(work())


def test_a_client_without_a_block_opens_with_the_first_call(tmp_path: Path) -> None:
    async def work() -> None:
        client = pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}")
        batch = await client.submit(make_items(3), make_definition(tmp_path))
        await client.work()
        assert (await batch.wait(timeout=30)).succeeded == 3
        await client.close()

    asyncio.run(work())
