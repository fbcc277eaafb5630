"""A pause or a cancellation against claims under way: what has not been claimed when it returns does not start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pipeline.batches.control import cancel, pause, resume
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.tables import items, spans
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_postgresql
from tests.support.servers.worker import wait_for

ITEMS, WORKERS, PORTION = 2_000, 6, 20
LEASE = timedelta(minutes=1)


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    # So that one window holds all of them.
    context = make_context(load(database_url=database_url, batch_items=1_000))
    yield context
    context.database.close()


class Workers:
    """Threads that claim released items in portions until every message was tried, the last ones when they may."""

    def __init__(self, context: Context, messages: list[TaskMessage]) -> None:
        self._context = context
        refs = [Ref(each.id, each.epoch) for each in messages]
        self._portions = [refs[start :: ITEMS // PORTION] for start in range(ITEMS // PORTION)]
        self._lock = threading.Lock()
        self.under_way, self.may_end = threading.Event(), threading.Event()

    def __call__(self, _: int) -> int:
        claimed = 0
        while (refs := self._next()) is not None:
            now = self._context.now()
            with self._context.database.write_once() as connection:
                found = releases.claim(connection, Stage.CLASSIFY, refs, now=now, lease_until=now + LEASE, worker="w")
            claimed += len(found)
        return claimed

    def _next(self) -> list[Ref] | None:
        with self._lock:
            if len(self._portions) < ITEMS // PORTION - 2 * WORKERS:
                self.under_way.set()
            is_last = len(self._portions) <= WORKERS
        if is_last:
            assert self.may_end.wait(20)
        with self._lock:
            return self._portions.pop() if self._portions else None


def states(context: Context) -> list[str]:
    with context.database.read() as connection:
        return list(connection.scalars(select(items.c.state)))


def release_by_span(context: Context) -> list[TaskMessage]:
    sent: list[TaskMessage] = []
    while Dispatcher(context, sent.extend).dispatch().released:
        pass
    return sent


def release_by_row(context: Context) -> list[TaskMessage]:
    release_by_span(context)
    with context.database.write() as connection:
        connection.execute(update(items).values(epoch=1, due_at=context.now()))
        connection.execute(spans.delete())
    return release_by_span(context)


@on_postgresql  # SQLite has one writer at a time
@pytest.mark.parametrize("release", [release_by_span, release_by_row])
@pytest.mark.parametrize("stop", [pause, cancel])
def test_nothing_starts_after_a_pause_or_a_cancellation_has_returned(
    release: Callable[[Context], list[TaskMessage]],
    stop: Callable[[Context, str], object],
    context: Context,
    tmp_path: Path,
) -> None:
    batch_id = submit(context, make_items(ITEMS), Submission(make_definition(tmp_path))).batch_id
    messages = release(context)
    assert len(messages) == ITEMS
    workers = Workers(context, messages)
    with ThreadPoolExecutor(WORKERS) as threads:
        claims = threads.map(workers, range(WORKERS))
        assert workers.under_way.wait(20)
        stop(context, batch_id)
        started = states(context).count("running")
        workers.may_end.set()
        # The workers go on until they have tried every message.
        claimed = sum(claims)
    assert claimed == started == states(context).count("running")
    assert 0 < claimed < ITEMS
    assert set(states(context)) == {"running", "pending" if stop is pause else "cancelled"}
    with context.database.read() as connection:
        assert connection.execute(select(spans)).all() == []
    if stop is pause:
        resume(context, batch_id)
        again = release_by_span(context)
        assert len(again) == ITEMS - claimed
        workers = Workers(context, again)
        workers.may_end.set()
        assert workers(0) == len(again)


@on_postgresql  # SQLite has one writer at a time
@pytest.mark.parametrize("release", [release_by_span, release_by_row])
@pytest.mark.parametrize("stop", [pause, cancel])
def test_a_claim_under_way_is_waited_for(
    release: Callable[[Context], list[TaskMessage]],
    stop: Callable[[Context, str], object],
    context: Context,
    tmp_path: Path,
) -> None:
    batch_id = submit(context, make_items(10), Submission(make_definition(tmp_path))).batch_id
    refs = [Ref(each.id, each.epoch) for each in release(context)]
    stopping = threading.Thread(target=lambda: stop(context, batch_id))
    now = context.now()
    with context.database.write() as connection:
        claimed = releases.claim(connection, Stage.CLASSIFY, refs[:4], now=now, lease_until=now + LEASE, worker="w")
        stopping.start()
        wait_for(lambda: waits_for_a_lock(context) or not stopping.is_alive())
        assert stopping.is_alive()
    stopping.join()
    assert states(context).count("running") == len(claimed) == 4


def waits_for_a_lock(context: Context) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with context.database.read() as connection:
        return bool(connection.exec_driver_sql(query).scalar_one())


@on_postgresql  # SQLite has one writer at a time
def test_nothing_starts_after_a_pause_whatever_dispatch_is_doing(context: Context, tmp_path: Path) -> None:
    batch_id = submit(context, make_items(ITEMS), Submission(make_definition(tmp_path))).batch_id
    sent: list[TaskMessage] = []
    ended = threading.Event()

    def dispatch() -> None:
        dispatcher = Dispatcher(context, sent.extend)
        while not ended.is_set():
            dispatcher.dispatch()

    def claim_all() -> int:
        now, refs = context.now(), {Ref(each.id, each.epoch) for each in sent}
        with context.database.write() as connection:
            until = now + LEASE
            return len(releases.claim(connection, Stage.CLASSIFY, refs, now=now, lease_until=until, worker="w"))

    rounds = threading.Thread(target=dispatch)
    rounds.start()
    try:
        for _ in range(20):
            published = len(sent)
            pause(context, batch_id)
            assert claim_all() == 0
            resume(context, batch_id)
            while len(sent) == published:
                assert rounds.is_alive()
    finally:
        ended.set()
        rounds.join()
    assert set(states(context)) <= {"pending", "queued"}
    pause(context, batch_id)
    assert set(states(context)) == {"pending"}
