"""The client of a server: the same answers as the embedded one gives, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import pipeline
from pipeline.cli import main
from pipeline.client.remote import upload
from pipeline.client.remote.server import Server
from pipeline.domain.api_key import Scope
from pipeline.domain.backoff import Backoff
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving

CALLABLES = """
from pipeline import Permanent

def classify(item):
    if "fails" in item.text:
        raise Permanent("as it was asked to")
    return "even" if len(item.text) % 2 == 0 else "odd"
"""
DEFINITION = """
name = "parity"
input = { key = "id", text = "text" }
[classify]
use = "for_remote_tests:classify"
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    folder = tmp_path_factory.mktemp("remote")
    (folder / "for_remote_tests.py").write_text(CALLABLES)
    (folder / "parity.toml").write_text(DEFINITION)
    with connect(folder, definitions=folder) as client, serving(client) as served:
        yield served


@pytest.fixture
def remote(api: ServedApi) -> Iterator[pipeline.RemoteClient]:
    with pipeline.connect(api.url) as client:
        yield client


def items(number: int) -> list[dict[str, Any]]:
    return [{"id": f"T-{each}", "text": "x" * each} for each in range(1, number + 1)]


def test_a_batch_goes_and_its_results_come(remote: pipeline.RemoteClient) -> None:
    batch = remote.submit(items(4), "parity")
    results = list(batch.results(follow=True))
    assert batch.is_new
    assert sorted((result.key, result.label) for result in results) == [
        ("T-1", "odd"), ("T-2", "even"), ("T-3", "odd"), ("T-4", "even"),
    ]  # fmt: skip
    assert [result.seq for result in results] == [1, 2, 3, 4]
    assert list(batch.results(after=2)) == results[2:]
    assert batch.labels() == {"even": 2, "odd": 2}
    assert batch.wait(timeout=60) == batch.progress() == remote.batch(batch.id).progress()


def test_a_generator_is_sent_in_parts(remote: pipeline.RemoteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART_ITEMS", 7)
    told: list[int] = []
    batch = remote.submit((each for each in items(20)), "parity", on_progress=told.append)
    assert told == [7, 14, 20]
    assert batch.wait(timeout=60).succeeded == 20
    assert {result.key for result in batch.results()} == {f"T-{each}" for each in range(1, 21)}


def test_items_have_keys_of_their_own(remote: pipeline.RemoteClient) -> None:
    batch = remote.submit([pipeline.Item({"id": "ignored", "text": "a"}, key="mine")], "parity")
    assert [result.key for result in batch.results(follow=True)] == ["mine"]


def test_the_same_submission_again_finds_its_batch(remote: pipeline.RemoteClient) -> None:
    first = remote.submit(items(2), "parity", idempotency_key="once")
    again = remote.submit(items(2), "parity", idempotency_key="once")
    assert (again.id, again.is_new) == (first.id, False)
    with pytest.raises(pipeline.Conflict, match="once"):
        remote.submit(items(2), "parity", idempotency_key="once", weight=2)


def test_an_upload_of_a_program_that_was_killed_goes_on(
    remote: pipeline.RemoteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_ITEMS", 3)

    def dying() -> Iterator[dict[str, Any]]:
        yield from items(4)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        # What is killed gives up nothing.
        killed.setattr(upload, "_give_up", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            remote.submit(dying(), "parity", idempotency_key="killed")
    left = next(remote.batches())
    assert left.state == "accepting"
    batch = remote.submit(items(5), "parity", idempotency_key="killed")
    assert batch.id == left.batch_id
    assert batch.wait(timeout=60).total == 5


def test_refused_items_are_told_and_nothing_is_left(remote: pipeline.RemoteClient) -> None:
    before = len(list(remote.batches()))
    with pytest.raises(pipeline.InvalidItems, match="text"):
        remote.submit([{"id": "a", "text": "good"}, {"id": "b"}], "parity")
    with pytest.raises(pipeline.InvalidItems, match="no items"):
        remote.submit([], "parity")
    assert len(list(remote.batches())) == before
    refused: list[pipeline.Rejection] = []
    batch = remote.submit([{"id": "a", "text": "good"}, {"id": "b"}], "parity", on_reject=refused.append)
    assert [(each.line, "text" in each.reason) for each in refused] == [(2, True)]
    assert batch.progress().total == 1


def test_refused_items_are_told_as_the_embedded_client_tells_them(
    api: ServedApi, remote: pipeline.RemoteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_ITEMS", 3)
    given = [*items(4), {"id": "b", "txt": "ä"}, {"id": "c", "text": [1]}]
    assert api.client is not None
    told: list[list[pipeline.Rejection]] = []
    for client in (api.client, remote):
        told.append([])
        client.submit(given, "parity", on_reject=told[-1].append)
    assert [each.line for each in told[0]] == [5, 6]
    assert told[0] == told[1]
    # The part that is refused first is the second one, which begins with item 4.
    errors = []
    for client in (api.client, remote):
        with pytest.raises(pipeline.InvalidItems) as refused:
            client.submit(given, "parity")
        errors.append((str(refused.value), refused.value.rejections, refused.value.count))
    assert errors[0] == errors[1]


def test_dead_items_run_again(remote: pipeline.RemoteClient) -> None:
    batch = remote.submit([{"id": "a", "text": "it fails"}], "parity")
    assert batch.wait(timeout=60).dead == 1
    (dead,) = batch.results()
    assert dead.error is not None
    assert dead.error.message == "as it was asked to"
    assert batch.replay_dead([dead.item_id]) == 1
    assert batch.wait(timeout=60).dead == 1
    assert batch.replay_dead() == 1


def test_a_batch_is_paused_resumed_and_cancelled(remote: pipeline.RemoteClient) -> None:
    batch = remote.submit(items(1), "parity")
    batch.wait(timeout=60)
    with pytest.raises(pipeline.Conflict, match="completed"):
        batch.pause()
    with pytest.raises(pipeline.Conflict, match="completed"):
        batch.cancel()


def test_batches_are_found_by_id_prefix_and_last(remote: pipeline.RemoteClient) -> None:
    batch = remote.submit(items(1), "parity")
    assert [remote.batch(name).id for name in (batch.id, batch.id[:10], "last")] == [batch.id] * 3
    assert next(remote.batches()).batch_id == batch.id
    for name in ("0123456789abcdef", "zzz", "no such"):
        with pytest.raises(pipeline.NotFound):
            remote.batch(name)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"definition": "party"}, pipeline.NotFound),
        ({"weight": 0}, pipeline.InvalidInput),
        ({"callback_url": "ftp://example.com"}, pipeline.InvalidInput),
    ],
)
def test_errors_are_those_of_the_embedded_client(
    remote: pipeline.RemoteClient, given: dict[str, Any], error: type[pipeline.PipelineError]
) -> None:
    with pytest.raises(error):
        remote.submit(items(1), **{"definition": "parity", **given})


def test_a_definition_with_local_code_is_refused_here(remote: pipeline.RemoteClient, tmp_path: Path) -> None:
    (tmp_path / "local.toml").write_text(DEFINITION.replace("for_remote_tests", "nowhere"))
    with pytest.raises(pipeline.PipelineError, match="functions of this machine"):
        remote.submit(items(1), tmp_path / "local.toml")


def test_a_key_is_needed_and_its_scopes_count(tmp_path: Path) -> None:
    with connect(tmp_path) as client, serving(client, works=False) as served:
        key = served.key(Scope.READ)["Authorization"].removeprefix("Bearer ")
        with pipeline.connect(served.url) as remote, pytest.raises(pipeline.AccessDenied, match="API key"):
            next(remote.batches())
        with pipeline.connect(served.url, api_key=key) as remote:
            assert list(remote.batches()) == []
            with pytest.raises(pipeline.AccessDenied, match="submit"):
                remote.submit(items(1), "parity")
        assert key not in repr(remote._server)


def test_a_server_that_is_away_is_unreachable() -> None:
    server = Server("http://127.0.0.1:9", None, backoff=Backoff(base=Backoff().base / 1e6))
    with pipeline.RemoteClient(server) as remote, pytest.raises(pipeline.Unreachable, match="does not answer"):
        next(remote.batches())
    with pytest.raises(pipeline.ClientClosed):
        next(remote.batches())


def test_commands_work_with_a_server(api: ServedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_SERVER_URL", api.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"id": "c-1", "text": "ab"}\n{"id": "c-2", "text": "it fails"}\n')

    def call(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(main, list(words))
        return found.exit_code, found.stdout

    assert call("run", "in.jsonl", "-p", "parity", "-o", "out.jsonl", "--quiet")[0] == 1
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    code, batch = call("submit", "in.jsonl", "-p", "parity", "--quiet")
    batch = batch.strip()
    assert (code, len(batch)) == (0, 16)
    assert call("watch", batch, "--quiet")[0] == 1
    assert batch in call("status")[1]
    assert '"dead": 1' in call("status", batch, "--json")[1]
    assert "c-1" in call("results", batch)[1]
    assert '"label": "even"' in call("show", f"{batch}-1", "--json")[1]
    assert call("show", "c-2", "--batch", batch)[0] == 0
    assert call("pause", batch)[0] == 2
    assert call("worker")[0] == 2
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "sqlite:///other.db")
    assert call("status")[0] == 2
