"""Targets in trouble: an attempt is put off, nothing is lost, and after four days a person has to ask for more."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.connections.connection import NamedConnection, NamedConnections
from pipeline.context import Context
from pipeline.errors import Conflict, InvalidInput
from pipeline.exports import run_exports, write_parts
from pipeline.exports.exports import named, retry
from pipeline.retention.prune import prune
from tests.support.clock import Clock
from tests.support.exporting import export_of, finish_items, problems_of, start_batch, work
from tests.support.faulty_http import CuttingProxy, refusing
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.object_store import ObjectStore

pytestmark = on_sqlite
DAY = 24 * 3_600.0


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "y",
        "REGION": "us-east-1",
        "ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr("pipeline.objects.open_store._RETRIES", 0)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "refused the credentials (AccessDenied); renew them"),
        (403, "", "refused the credentials (AccessDenied); renew them"),
        (400, "ExpiredToken", "refused the credentials (ExpiredToken); renew them"),
        (404, "NoSuchBucket", "does not exist (NoSuchBucket)"),
        (507, "QuotaExceeded", "answered QuotaExceeded"),
    ],
)
def test_a_store_that_refuses_is_asked_again_by_the_schedule(
    context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch, status: int, code: str, said: str
) -> None:
    batch = start_batch(context, 2, "s3://acme/x/")
    finish_items(context, batch, [1, 2])
    with refusing(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        work(context)
        export = export_of(context, batch)
        assert (export["state"], export["attempts"], export["rows"]) == ("running", 1, 0)
        assert export["last_error"].endswith(said)
        assert export["last_error"].startswith("s3://acme/x/")
        assert 5 <= (export["due_at"] - clock()).total_seconds() <= 7
        clock.forward(7)
        work(context)
        assert export_of(context, batch)["attempts"] == 2


@pytest.mark.usefixtures("keys")
def test_after_four_days_it_has_failed_and_a_retry_goes_on(
    context: Context, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = start_batch(context, 2, f"{tmp_path}/out/")
    finish_items(context, batch, [1, 2])
    with monkeypatch.context() as patch:
        patch.setattr(write_parts, "_fill", full_disk)
        attempts = 0
        while export_of(context, batch)["state"] == "running":
            work(context)
            attempts += 1
            clock.forward(DAY / 2)
    export = export_of(context, batch)
    assert (export["state"], attempts) == ("failed", 9)
    assert "disk_full" in export["last_error"]
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
    assert [row["id"] for row in retry(context, str(export["id"]))] == [export["id"]]
    work(context)
    assert export_of(context, batch)["state"] == "complete"
    assert problems_of(context, batch) == []
    with pytest.raises(Conflict, match="is complete"):
        retry(context, str(export["id"]))
    with pytest.raises(InvalidInput, match="neither an export nor a batch"):
        named(context, "nothing")


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[CuttingProxy]:
    made = CuttingProxy(object_store.port)
    yield made
    made.close()


def test_a_put_whose_answer_is_lost_is_found_by_the_next_attempt(
    context: Context, clock: Clock, object_store: ObjectStore, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.objects.open_store._RETRIES", 0)
    options = object_store.options | {"endpoint": proxy.url}
    lake = NamedConnection("lake", object_store.place(), options=options)
    context = replace(context, connections=NamedConnections({"lake": lake}))
    batch = start_batch(context, 5, "conn://lake/?rows=2")
    finish_items(context, batch, range(1, 6))
    proxy.cuts, proxy.after = 2, 0
    for _ in range(3):
        work(context)
        clock.forward(60)
    export = export_of(context, batch)
    assert (export["state"], export["rows"], proxy.cuts) == ("complete", 5, 0)
    assert problems_of(context, batch) == []


def test_a_connection_that_is_gone_puts_the_export_off(context: Context) -> None:
    batch = start_batch(context, 1, "conn://lake/x/")
    finish_items(context, batch, [1])
    work(context)
    export = export_of(context, batch)
    assert (export["state"], export["attempts"]) == ("running", 1)
    assert "there is no connection 'lake'" in export["last_error"]


def test_a_stop_ends_an_attempt_and_releases_it(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 3, f"{tmp_path}/")
    finish_items(context, batch, range(1, 4))
    runner = run_exports.ExportRunner(context, batch_id=None, is_stopped=lambda: True)
    (export_id,) = runner.find_work()
    runner.run(export_id)
    export = export_of(context, batch)
    assert (export["state"], export["worker"], export["attempts"]) == ("running", None, 0)
    work(context)
    assert export_of(context, batch)["state"] == "complete"


def test_pruning_waits_seven_days_for_an_export_and_then_says_so(
    context: Context, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    batch = start_batch(context, 1, "conn://lake/x/")
    finish_items(context, batch, [1])
    work(context)
    clock.forward(40 * DAY)
    kept = prune(context, context.now() - timedelta(days=35))
    assert (kept.batches, kept.kept, dict(kept.waits_for)) == (0, 1, {"conn://lake/x/": 1})
    gone = prune(context, context.now() - timedelta(days=32))
    assert gone.batches == 1
    assert "export_incomplete" in caplog.text
