"""A closed client: each call on it and on its handles raises one error, and so does each call that was waiting."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.client.session import Session
from tests.support.factories import client_context, connect, make_definition, make_items
from tests.support.receiver import SECRET

#: Far longer than any of these takes; only a hang takes as long.
SECONDS = 30
CALLBACKS = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
URL = "http://127.0.0.1:9999/hook"
#: What a call needs besides defaults.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "submit": ([{"text": "t"}],),
    "batch": ("last",),
    "endpoint": (URL,),
    "delivery": (1,),
    "replay_missing": (URL, "last"),
}
#: What a closed client has to offer.
ALLOWED = {"close"}


def methods(owner: object) -> list[str]:
    functions = inspect.getmembers(type(owner), inspect.isfunction)
    return [name for name, _ in functions if not name.startswith("_") and name not in ALLOWED]


def stalled(client: pipeline.Client, folder: Path, number: int = 3) -> pipeline.Batch:
    """Return a batch that is never completed."""
    definition = make_definition(folder)
    batch = client.submit(make_items(number), definition)
    batch.pause()
    return batch


def call(owner: object, name: str, *arguments: Any) -> Any:
    """Call a method, and read the first entry of what it returns if that is an iterator."""
    answer = getattr(owner, name)(*arguments)
    if name == "transaction":
        with answer:
            return None
    return next(answer) if isinstance(answer, Iterator) else answer


async def call_apart(owner: object, name: str, *arguments: Any) -> Any:
    answer = getattr(owner, name)(*arguments)
    if isinstance(answer, AsyncIterator):
        return await anext(answer)
    return await answer if inspect.isawaitable(answer) else answer


def test_every_method_of_a_closed_client_and_its_handles_raises_one_error(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    with connect(tmp_path, **CALLBACKS) as client:
        batch = client.submit(make_items(1), definition, callback_url=URL)
        batch.wait(SECONDS)
        handles = [client, batch, client.endpoint(URL), next(client.deliveries())]
    for owner in handles:
        for name in methods(owner):
            arguments = ARGUMENTS.get(name, ()) if owner is client else ()
            extra = (definition,) if name == "submit" else ()
            with pytest.raises(pipeline.ClientClosed, match="this client is closed; open another") as raised:
                call(owner, name, *arguments, *extra)
            assert raised.value.code == "client_closed"
    with pytest.raises(pipeline.ClientClosed), client:
        pass


def test_every_method_of_a_closed_asynchronous_client_raises_the_same_error(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)

    async def main() -> None:
        async with pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}", **CALLBACKS) as client:
            done = await client.submit(make_items(1), definition, callback_url=URL)
            await done.wait(SECONDS)
            delivery = await anext(client.deliveries())
            handles = [client, done, client.endpoint(URL), delivery]
        for owner in handles:
            for name in methods(owner):
                arguments = ARGUMENTS.get(name, ()) if owner is client else ()
                extra = {"submit": (definition,), "transaction": (lambda _: None,)}.get(name, ())
                with pytest.raises(pipeline.ClientClosed):
                    await call_apart(owner, name, *arguments, *extra)
        with pytest.raises(pipeline.ClientClosed):
            async with client:
                pass

    asyncio.run(main())


def test_a_closed_client_starts_no_threads_and_stores_nothing(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    client = connect(tmp_path)
    client.close()
    before = set(threading.enumerate())
    with pytest.raises(pipeline.ClientClosed):
        client.submit(make_items(1), definition)
    assert set(threading.enumerate()) == before
    with connect(tmp_path) as other:
        assert list(other.batches()) == []


def test_iterators_end_with_the_error_although_they_have_entries_left(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    with connect(tmp_path) as client:
        batch = client.submit(make_items(3), definition)
        client.submit(make_items(3), definition)
        batch.wait(SECONDS)
        iterators = [batch.results(), batch.results(follow=True), client.batches()]
        for iterator in iterators:
            next(iterator)
    for iterator in iterators:
        with pytest.raises(pipeline.ClientClosed):
            next(iterator)


@pytest.mark.parametrize(
    "wait",
    [lambda batch: batch.wait(), lambda batch: list(batch.results(follow=True)), lambda batch: batch.wait(timeout=600)],
    ids=["wait", "results", "timeout"],
)
def test_a_thread_that_waits_is_told(tmp_path: Path, wait: Callable[[pipeline.Batch], object]) -> None:
    client = connect(tmp_path)
    batch = stalled(client, tmp_path)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait, batch)
        while not client_context(client).database.engine.pool.checkedout() and not waiting.done():  # type: ignore[attr-defined]
            threading.Event().wait(0.001)
        client.close()
        with pytest.raises(pipeline.ClientClosed):
            waiting.result(SECONDS)


def test_tasks_that_wait_are_told(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[dict[str, Any]]:
        yield {"text": "t"}
        begun.set()
        await asyncio.Event().wait()

    async def main() -> None:
        client = pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}")
        batch = await client.submit(make_items(3), definition)
        await batch.pause()
        follow = aiter(batch.results(follow=True))
        waits = [
            asyncio.ensure_future(batch.wait()),
            asyncio.ensure_future(client.submit(never(), definition)),
            asyncio.ensure_future(_exhaust(follow)),
        ]
        await begun.wait()
        await client.close()
        answers = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), SECONDS)
        assert [type(answer) for answer in answers] == [pipeline.ClientClosed] * 3

    definition, begun = make_definition(tmp_path), asyncio.Event()
    asyncio.run(main())
    with connect(tmp_path) as client:
        assert len(list(client.batches())) == 1


async def _exhaust(results: AsyncIterator[pipeline.Result]) -> None:
    async for _ in results:
        pass


def test_a_submission_that_is_closed_on_stores_nothing(tmp_path: Path) -> None:
    client = connect(tmp_path)

    def items() -> Iterator[dict[str, Any]]:
        yield from make_items(6_000)
        client.close()
        yield {"text": "one more"}

    with pytest.raises(pipeline.ClientClosed):
        client.submit(items(), make_definition(tmp_path))
    with connect(tmp_path) as other:
        assert list(other.batches()) == []


def test_closing_twice_and_from_two_threads_ends_once(tmp_path: Path) -> None:
    client = connect(tmp_path)
    client.submit(make_items(50), make_definition(tmp_path))
    with ThreadPoolExecutor(2) as threads:
        for closing in [threads.submit(client.close) for _ in range(2)]:
            closing.result(SECONDS)
            assert not [each for each in threading.enumerate() if each.name == "pipeline-worker"]
    client.close()


def test_closing_from_two_tasks_ends_once(tmp_path: Path) -> None:
    async def main() -> None:
        client = pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}")
        await client.submit(make_items(50), definition)
        await asyncio.gather(client.close(), client.close())
        await client.close()

    definition = make_definition(tmp_path)
    asyncio.run(main())
    assert not [each for each in threading.enumerate() if each.name == "pipeline-worker"]


def test_a_close_that_is_interrupted_hands_everything_back_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
    import time
    def classify(item):
        time.sleep(60)
        return "x"
    """
    client = connect(tmp_path, stop_seconds=60)
    batch = client.submit(make_items(3), make_definition(tmp_path, source, enrich=False))
    while not batch.progress().running:
        threading.Event().wait(0.001)
    join = threading.Thread.join

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "pipeline-worker":
            monkeypatch.setattr(threading.Thread, "join", join)
            raise KeyboardInterrupt
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.close()
    client.close()
    with connect(tmp_path) as other:
        progress = other.batch(batch.id).progress()
        assert (progress.running, progress.final) == (0, 0)


def test_handles_are_refused_where_they_would_be_copied_into_another_process(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        for handle in (client, stalled(client, tmp_path), client.endpoint(URL)):
            with pytest.raises(TypeError, match="cannot be sent to another process; send the id of the batch"):
                copy.deepcopy(handle)


def test_a_client_that_a_signal_handler_closes_during_its_start_stops_its_worker(tmp_path: Path) -> None:
    happened: list[str] = []

    class Interrupted:
        """A worker during whose start the client is closed, in the same thread."""

        def start(self) -> None:
            session.close(deliver=False)
            happened.append("started")

        def stop(self, *, deliver: bool) -> None:
            happened.append("stopped")

    def work() -> None:
        with pytest.raises(pipeline.ClientClosed):
            session.work()
        happened.append("refused")

    with connect(tmp_path) as client:
        session = Session(client_context(client), lambda _context, _only: Interrupted())
        # A daemon: a thread that waits for itself must not hold up the end of the tests.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(SECONDS / 6)
        assert happened == ["started", "stopped", "refused"]
