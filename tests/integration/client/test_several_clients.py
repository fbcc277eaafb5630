"""Several embedded clients in one process: each does its work, and they can be closed in any order."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.testing import embedded
from tests.support.factories import connect, make_definition, make_items

SECONDS = 60


def workers() -> int:
    return sum(thread.name == "pipeline-worker" for thread in threading.enumerate())


def folders(tmp_path: Path, number: int) -> list[Path]:
    made = [tmp_path / str(each) for each in range(number)]
    for each in made:
        each.mkdir()
    return made


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "stock"])
def test_clients_on_different_databases_work_side_by_side(tmp_path: Path, is_fast: bool) -> None:
    definition = make_definition(tmp_path)
    clients = [connect(folder, fast_transport=is_fast) for folder in folders(tmp_path, 3)]
    for round_ in range(1, 3):
        batches = [client.submit(make_items(50), definition) for client in clients]
        for client, batch in zip(clients, batches, strict=True):
            assert batch.wait(SECONDS).succeeded == 50
            assert len(list(batch.results(follow=True))) == 50
            assert len(list(client.batches())) == round_
    assert workers() == 3
    for client in clients:
        client.close()
    assert workers() == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_clients_on_one_database_share_the_workers_until_the_last_is_closed(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    definition = make_definition(tmp_path)
    clients = [connect(tmp_path) for _ in range(2)]
    for client in clients:
        assert client.submit(make_items(20), definition).wait(SECONDS).succeeded == 20
    assert workers() == 1
    first, last = (clients[index] for index in order)
    first.close()
    assert workers() == 1
    assert last.submit(make_items(20), definition).wait(SECONDS).succeeded == 20
    last.close()
    assert workers() == 0


@pytest.mark.parametrize(
    "settings", [{"max_payload_bytes": 1_000}, {"hooks": [lambda connection, events: None]}], ids=["setting", "hook"]
)
def test_clients_that_differ_in_settings_or_hooks_share_no_workers(tmp_path: Path, settings: dict[str, Any]) -> None:
    with connect(tmp_path) as first, connect(tmp_path, **settings) as second:
        for client in (first, second):
            client.work()
        assert workers() == 2
        batches = [client.submit(make_items(20), make_definition(tmp_path)) for client in (first, second)]
        assert [batch.wait(SECONDS).succeeded for batch in batches] == [20, 20]


def test_a_client_that_was_dropped_does_not_keep_the_workers_of_the_next(tmp_path: Path) -> None:
    connect(tmp_path).work()
    with connect(tmp_path) as client:
        client.work()
        assert workers() == 1
    assert workers() == 0


def test_a_client_is_closed_while_another_is_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    one, other = folders(tmp_path, 2)
    with connect(one) as first:
        batch = first.submit(make_items(3_000), definition)
        with connect(other) as second:
            second.submit(make_items(10), definition).wait(SECONDS)
        assert batch.wait(SECONDS).succeeded == 3_000


def test_a_setting_of_the_client_bounds_its_workers(tmp_path: Path) -> None:
    with connect(tmp_path, concurrency=1) as client:
        client.submit(make_items(600), make_definition(tmp_path)).wait(SECONDS)
        # Celery's pool is the only one that we did not name.
        pool = [each for each in threading.enumerate() if each.name.startswith("ThreadPoolExecutor")]
    assert len(pool) == 1


def test_two_embedded_fixtures_of_the_testing_package_work_side_by_side(tmp_path: Path) -> None:
    one, other = folders(tmp_path, 2)
    definition = make_definition(tmp_path)
    with embedded(one) as first, embedded(other) as second:
        batches = [client.submit(make_items(5), definition) for client in (first, second)]
        assert [batch.wait(SECONDS).succeeded for batch in batches] == [5, 5]


def test_a_submission_is_refused_before_it_is_stored_if_no_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(tmp_path) as client:
        monkeypatch.setattr("workers.in_process_worker.START_SECONDS", 0.1)
        monkeypatch.setattr("workers.in_process_worker._Controller.on_consumer_ready", lambda *_: None)
        with pytest.raises(pipeline.Unreachable, match="the embedded worker did not start"):
            client.submit(make_items(1), make_definition(tmp_path))
        monkeypatch.undo()
        assert list(client.batches()) == []
        assert client.submit(make_items(1), make_definition(tmp_path)).wait(SECONDS).succeeded == 1


def test_the_application_of_a_program_that_uses_celery_itself_stays_the_current_one(tmp_path: Path) -> None:
    from celery import Celery, current_app

    Celery("shop").set_current()
    with connect(tmp_path) as client:
        client.submit(make_items(1), make_definition(tmp_path)).wait(SECONDS)
        assert current_app.main == "shop"
