"""Clients in children of a fork: they have their own connections, workers and name, and the parent keeps its own."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import pipeline
from tests.support.factories import client_context, make_definition, make_items
from tests.support.forks import Child, ForkInside, in_child

SECONDS = 60


@pytest.fixture
def client(database_url: str) -> Iterator[pipeline.Client]:
    """An embedded client, on each kind of database."""
    with pipeline.connect(database_url=database_url) as client:
        yield client


def finished(client: pipeline.Client, definition: pipeline.Definition, number: int, key: str) -> str:
    """Submit and follow a batch; return its id."""
    batch = client.submit(make_items(number), definition, idempotency_key=key)
    assert len({result.item_id for result in batch.results(follow=True)}) == number
    assert batch.progress().succeeded == number
    return batch.id


def test_parent_and_children_submit_at_once(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    ids = [finished(client, definition, 20, "before")]

    def work() -> str:
        found = finished(client, definition, 50, f"child {os.getpid()}")
        client.close()
        return found

    children = [Child(work) for _ in range(3)]
    ids.append(finished(client, definition, 50, "parent"))
    ids += [child.result() for child in children]
    ids.append(finished(client, definition, 20, "after"))
    assert len(set(ids)) == 6
    assert {each.batch_id for each in client.batches()} == set(ids)


def test_a_child_of_a_child_works_as_well(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    finished(client, definition, 5, "parent")

    def work() -> list[str]:
        mine = finished(client, definition, 5, "child")
        return [mine, in_child(lambda: finished(client, definition, 5, "grandchild"))]

    assert len({*in_child(work), finished(client, definition, 5, "again")}) == 3


def test_what_a_child_drops_or_closes_stays_open_in_the_parent(database_url: str, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    client = pipeline.connect(database_url=database_url)
    batch = client.submit(make_items(2_000), definition)
    holders: list[pipeline.Client] = [client]

    def drop() -> bool:
        nonlocal client, batch
        client.close()
        holders.clear()
        del client, batch
        gc.collect()
        return True

    assert in_child(drop)
    assert batch.wait(SECONDS).succeeded == 2_000
    finished(client, definition, 10, "after")
    client.close()


def test_a_child_that_ends_as_programs_do_hands_back_nothing_of_the_parent(
    client: pipeline.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    source = f"""
    import pathlib, time
    def classify(item):
        while not pathlib.Path({str(gate)!r}).exists():
            time.sleep(0.01)
        return str(item.attempt)
    """
    batch = client.submit(make_items(4), make_definition(tmp_path, source, enrich=False))
    while batch.progress().running < 4:
        threading.Event().wait(0.001)

    def end() -> bool:
        import atexit

        atexit._run_exitfuncs()
        return True

    assert in_child(end)
    assert batch.progress().running == 4
    gate.touch()
    assert batch.wait(SECONDS).succeeded == 4


def test_a_child_holds_leases_under_a_name_of_its_own(client: pipeline.Client, tmp_path: Path) -> None:
    client.work()
    mine = client_context(client).worker

    def name() -> str:
        return client_context(client).worker

    theirs = [in_child(name), in_child(name)]
    assert len({mine, *theirs}) == 3


@pytest.mark.parametrize("leave", ["commit", "error", "statement"])
def test_a_transaction_that_is_open_during_a_fork_is_the_parents(client: pipeline.Client, leave: str) -> None:
    with client.transaction() as connection:
        connection.execute(text("CREATE TABLE notes (word TEXT)"))
    with ForkInside() as block, client.transaction() as connection:
        connection.execute(text("INSERT INTO notes VALUES ('parent')"))
        if block.fork():
            connection.execute(text("INSERT INTO notes VALUES ('parent again')"))
        elif leave == "error":
            raise RuntimeError("on purpose")
        elif leave == "statement":
            connection.execute(text("INSERT INTO notes VALUES ('child')"))
    assert block.raised == "ProcessForked"
    with client.transaction() as connection:
        assert connection.scalars(text("SELECT word FROM notes")).all() == ["parent", "parent again"]


def test_a_child_of_a_transaction_on_sqlite_is_told_and_on_postgresql_goes_on(
    client: pipeline.Client, tmp_path: Path
) -> None:
    definition = make_definition(tmp_path)

    def work() -> str:
        try:
            return finished(client, definition, 5, "child")
        except pipeline.ProcessForked as error:
            return str(error)

    with client.transaction() as connection:
        connection.execute(text("CREATE TABLE notes (word TEXT)"))
        told = in_child(work)
    if client_context(client).database.is_sqlite:
        assert "was forked in the middle of a transaction" in told
        assert "fork outside of transactions" in told
    else:
        assert client.batch(told).wait(SECONDS).succeeded == 5
    finished(client, definition, 5, "parent")


def test_a_fork_waits_for_the_transactions_of_other_threads(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    begun, ended = threading.Event(), threading.Event()

    def write() -> None:
        with client.transaction() as connection:
            connection.execute(text("CREATE TABLE notes (word TEXT)"))
            begun.set()
            # Open until the fork waits for it.
            ended.wait(0.2)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    assert len({in_child(lambda: finished(client, definition, 5, "child")), finished(client, definition, 5, "x")}) == 2
    thread.join()
    with client.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM notes")) == 0


def test_a_fork_during_a_submission_leaves_it_to_the_parent(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)

    def items() -> Iterator[dict[str, Any]]:
        yield from make_items(6_000)
        block.fork()
        yield from make_items(6_000)

    with ForkInside() as block:
        batch = client.submit(items(), definition)
    assert block.raised == "ProcessForked"
    assert batch.progress().total == 12_000


def test_children_go_on_following_results_and_pages_from_where_the_parent_was(
    client: pipeline.Client, tmp_path: Path
) -> None:
    definition = make_definition(tmp_path)
    for number in range(3):
        finished(client, definition, 1, str(number))
    batch = client.submit(make_items(300), definition)
    results, pages = batch.results(follow=True), client.batches()
    seen, page = [next(results).seq for _ in range(10)], next(pages)

    def rest() -> list[int]:
        return [len(list(pages)), *(result.seq for result in results)]

    child = Child(rest)
    pages_left, *mine = rest()
    assert child.result() == [pages_left, *mine]
    assert (page.batch_id, pages_left) == (batch.id, 3)
    assert seen + mine == list(range(1, 301))


def test_an_asynchronous_client_works_in_children(database_url: str, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    client = pipeline.AsyncClient(database_url=database_url)

    async def work() -> str:
        batch = await client.submit(make_items(20), definition)
        assert len([result async for result in batch.results(follow=True)]) == 20
        # More calls than threads, so that one waits for another.
        await asyncio.gather(*(batch.progress() for _ in range(20)))
        return batch.id

    async def work_and_close() -> str:
        try:
            return await work()
        finally:
            await client.close()

    ids = [asyncio.run(work())]
    children = [Child(lambda: asyncio.run(work_and_close())) for _ in range(2)]
    ids += [asyncio.run(work()), *(child.result() for child in children), asyncio.run(work_and_close())]
    assert len(set(ids)) == 5


def test_a_client_that_only_looked_is_used_in_children_first(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    assert list(client.batches()) == []
    children = [Child(lambda: finished(client, definition, 20, str(os.getpid()))) for _ in range(2)]
    assert len({child.result() for child in children}) == 2


def test_a_child_that_is_forked_while_another_thread_starts_the_workers_starts_its_own(
    client: pipeline.Client, tmp_path: Path
) -> None:
    definition = make_definition(tmp_path)
    thread = threading.Thread(target=client.work)
    thread.start()
    starting = client._session._starting
    # Until the thread has it.
    while starting.acquire(blocking=False):
        starting.release()
        if not thread.is_alive():
            break
    child = Child(lambda: finished(client, definition, 5, "child"))
    assert child.result() != finished(client, definition, 5, "parent")
    thread.join()


def test_two_clients_of_one_process_work_in_children(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    with (
        pipeline.connect(database_url=f"sqlite:///{tmp_path / 'a.db'}") as first,
        pipeline.connect(database_url=f"sqlite:///{tmp_path / 'b.db'}") as second,
    ):

        def work() -> list[str]:
            return [finished(each, definition, 10, str(os.getpid())) for each in (first, second)]

        assert len({*work(), *in_child(work), *work()}) == 4
