"""A user's program that uses every public name: checked by mypy and pyright against the installed package, and run.

A line that ends in `type: ignore` must be an error for both.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

import pipeline
from pipeline.testing import (
    TEST_SECRET,
    ReceivedWebhook,
    WebhookReceiver,
    embedded,
    embedded_async,
    run_definition,
    sign_webhook,
)


# A classifier and an enricher.
@pipeline.batched(max_items=32)
def classify(items: list[pipeline.WorkItem]) -> list[pipeline.Classification | Exception]:
    return [
        pipeline.Classification("long" if len(item.text) > 10 else "short", 0.9, {"long": 0.9})
        if item.text
        else pipeline.Permanent("the text is empty")
        for item in items
    ]


async def enrich(item: pipeline.WorkItem) -> Mapping[str, Any]:
    if item.payload.get("busy") and item.attempt == 1:
        raise pipeline.Transient("not yet")
    if item.key == "throttled":
        raise pipeline.Throttled("later", retry_after=0.01)
    return {"label": item.label, "confidence": item.confidence}


def definition() -> pipeline.Definition:
    tables: pipeline.DefinitionTables = {
        "name": "texts",
        "classify": {"use": "user_program:classify"},
        "enrich": [{"use": "user_program:enrich"}],
        "input": {"text": "text", "empty": "accept"},
        "retry": {"max_attempts": 3, "base_seconds": 0.01},
    }
    made = pipeline.Definition(folder=Path(__file__).parent, **tables)
    classifier: pipeline.ClassifySpec = made.classify
    enrichers: tuple[pipeline.EnrichSpec, ...] = made.enrich
    read: pipeline.InputSpec = made.input
    retry: pipeline.RetrySpec = made.retry
    stages: tuple[pipeline.Stage, ...] = made.stages
    assert (classifier.use, enrichers[0].name, read.text, retry.max_attempts) == (
        "user_program:classify",
        None,
        "text",
        3,
    )
    assert stages == (pipeline.Stage.CLASSIFY, pipeline.Stage.ENRICH)
    assert len(made.version) == 16
    assert made.files == {}
    return made


# A completion hook.
seen: list[pipeline.Event] = []


def note(connection: Connection, events: Sequence[pipeline.Event]) -> None:
    for event in events:
        kind: pipeline.EventType = event.type
        if kind is pipeline.EventType.ITEM_COMPLETED and event.item_id is not None:
            label = pipeline.Result.from_data(event.data).label
            connection.execute(text("INSERT INTO notes VALUES (:key, :label)"), {"key": event.key, "label": label})
        seen.append(event)


def items() -> Iterator[pipeline.Item]:
    for number in range(3):
        yield pipeline.Item({"text": "x" * 8 * number + "y", "busy": number == 1}, key=f"T-{number}")


def describe(result: pipeline.Result) -> str:
    state: pipeline.ItemState = result.state
    timings: pipeline.Timings = result.timings
    failure: pipeline.ItemFailure | None = result.error
    kind: pipeline.FailureKind | None = None if failure is None else failure.kind
    seconds = (timings.finished_at - timings.created_at).total_seconds()
    name: str = result.label or "-"
    answers: dict[str, Any] = result.enrichment
    return f"{result.key} {state.value} {name} {answers} {kind} {seconds:.1f}"


def follow(client: pipeline.Client, receiver: WebhookReceiver) -> pipeline.Batch:
    refused: list[pipeline.Rejection] = []
    batch: pipeline.Batch = client.submit(
        items(),
        definition(),
        callback_url=receiver.url,
        batch_callback_url=receiver.url,
        fallback_url=f"{receiver.url}fallback",
        callback_schedule="short",
        guards=pipeline.Guard(rate=0.5, action="alert"),
        idempotency_key="today",
        fair_key="team",
        weight=2,
        on_reject=refused.append,
        on_progress=lambda stored: None,
    )
    for result in batch.results(follow=True, after=0):
        print(describe(result))
    progress: pipeline.Progress = batch.wait(timeout=60)
    assert progress.state is pipeline.BatchState.COMPLETED
    assert (progress.succeeded, progress.final, progress.waiting, progress.is_complete) == (3, 3, 0, True)
    assert batch.labels() == {"long": 1, "short": 2} or batch.labels() == {"short": 1, "long": 2}
    assert batch.replay_dead(["x"] if refused else None) == 0
    assert batch.replay_cancelled(["x"] if refused else None) == 0
    assert client.batch(batch.id).is_new is False
    assert [each.batch_id for each in client.batches(limit=1)] == [batch.id]
    return batch


def look_after(client: pipeline.Client, receiver: WebhookReceiver, batch: pipeline.Batch) -> None:
    receiver.wait_for(4, timeout=60)
    received: ReceivedWebhook = receiver.requests[0]
    assert received.error is None
    endpoint: pipeline.Endpoint = client.endpoint(receiver.url)
    changes: pipeline.EndpointChanges = {"rate": 100, "ordering": "batch", "schedule": None}
    info: pipeline.EndpointInfo = endpoint.configure(headers={"X-Team": None}, **changes)
    settings: pipeline.EndpointSettings = info.settings
    state: pipeline.EndpointState = info.state
    secrets: tuple[pipeline.KnownSecret, ...] = info.secrets
    notices: tuple[pipeline.Notice, ...] = info.notices
    kinds: list[pipeline.NoticeType] = [notice.type for notice in notices]
    pending: int = info.backlog.get(pipeline.DeliveryState.PENDING, 0)
    assert (settings.rate, state, secrets, kinds, pending) == (100, pipeline.EndpointState.OK, (), [], 0)
    ping: pipeline.PingResult = endpoint.test()
    assert ping.is_success
    for known in client.endpoints(state=pipeline.EndpointState.OK, limit=10):
        assert known.origin == endpoint.origin
    for delivery in client.deliveries(batch=batch, state="delivered", since=timedelta(hours=1), limit=10):
        attempts: list[pipeline.DeliveryAttempt] = delivery.history()
        outcomes: list[pipeline.AttemptOutcome] = [attempt.outcome for attempt in attempts]
        assert outcomes[-1] is pipeline.AttemptOutcome.SUCCEEDED
        again: pipeline.Delivery = delivery.replay()
        due: datetime | None = again.due_at
        assert due is not None
        assert due.tzinfo is UTC
    assert client.replay_deliveries(batch=batch, states=["dead", pipeline.DeliveryState.CANCELLED], dry_run=True) == 0
    assert client.replay_missing(receiver.url, batch, batch_events=True, dry_run=True) == 0


async def follow_async(client: pipeline.AsyncClient) -> None:
    async def stream() -> AsyncIterator[dict[str, Any]]:
        yield {"text": "one"}
        yield {"text": "another text"}

    batch: pipeline.AsyncBatch = await client.submit(stream(), definition())
    labels = [result.label async for result in batch.results(follow=True)]
    assert sorted(label for label in labels if label is not None) == ["long", "short"]
    assert (await batch.wait(timeout=60)).succeeded == 2
    endpoint: pipeline.AsyncEndpoint = client.endpoint("https://example.com/hook")
    assert (await endpoint.configure(rate=5)).settings.rate == 5
    async for delivery in client.deliveries(limit=1):
        found: pipeline.AsyncDelivery = delivery
        await found.history()
    assert await client.transaction(lambda connection: connection.scalar(text("SELECT 1"))) == 1


def receive(body: bytes, headers: Mapping[str, str], secret: str) -> int:
    try:
        event = pipeline.verify_webhook(body, headers, secret)
    except pipeline.InvalidWebhook:
        return 400
    print(event["type"])
    return 204


def connect(folder: Path) -> pipeline.Client:
    hooks: list[pipeline.Hook] = [note]
    overrides: pipeline.SettingOverrides = {"lease_seconds": 20, "allow_private_callbacks": ["127.0.0.0/8"]}
    return pipeline.connect(database_url=f"sqlite:///{folder / 'own.db'}", definitions=folder, hooks=hooks, **overrides)


def errors() -> dict[str, type[pipeline.PipelineError]]:
    kinds: list[type[pipeline.PipelineError]] = [
        pipeline.BacklogFull,
        pipeline.CannotDecrypt,
        pipeline.ClientClosed,
        pipeline.Conflict,
        pipeline.EndpointOwned,
        pipeline.ForbiddenCallbackUrl,
        pipeline.IdempotencyMismatch,
        pipeline.InvalidArgument,
        pipeline.InvalidCallbackUrl,
        pipeline.InvalidDefinition,
        pipeline.InvalidEncryptionKey,
        pipeline.InvalidExportTarget,
        pipeline.InvalidHeader,
        pipeline.InvalidInput,
        pipeline.InvalidItems,
        pipeline.InvalidSecret,
        pipeline.InvalidSettings,
        pipeline.InvalidWebhook,
        pipeline.NoItems,
        pipeline.NotFound,
        pipeline.OutcomeUnknown,
        pipeline.ProcessForked,
        pipeline.SourceChanged,
        pipeline.SourceUnavailable,
        pipeline.SubmissionInProgress,
        pipeline.TargetConflict,
        pipeline.TargetUnavailable,
        pipeline.DatabaseFull,
        pipeline.Unreachable,
        pipeline.WaitTimeout,
        pipeline.WrongSchema,
    ]
    return {kind.code: kind for kind in kinds}


def failures(client: pipeline.Client) -> None:
    code, exit_code = "", 0
    try:
        client.batch("nothing")
    except pipeline.PipelineError as error:
        code, exit_code = error.code, error.exit_code
    assert (code, exit_code, errors()[code]) == ("not_found", 2, pipeline.NotFound)
    try:
        client.submit([{"no": "text"}], definition())
    except pipeline.InvalidItems as error:
        rejection: pipeline.Rejection = error.rejections[0]
        print(rejection.line, rejection.reason)
    batch = client.batch("last")
    try:
        batch.wait(timeout=0)
    except pipeline.WaitTimeout as error:
        print(error.progress.final)
    raised: pipeline.StageError = pipeline.Permanent("no")
    assert raised.code == "permanent"


def mistakes(client: pipeline.Client, batch: pipeline.Batch, result: pipeline.Result) -> None:
    """Never called: what a type checker has to find."""
    pipeline.conect()  # type: ignore
    pipeline.connect(lease_second=1)  # type: ignore
    pipeline.connect(lease_seconds="long")  # type: ignore
    client.submit([{"text": "a"}], "texts", weigth=2)  # type: ignore
    client.submit(["a"], "texts")  # type: ignore
    client.submit([{"text": "a"}], "texts", callback_schedule="often")  # type: ignore
    client.endpoint("https://example.com").configure(rat=1)  # type: ignore
    client.endpoint("https://example.com").configure(ordering="random")  # type: ignore
    client.deliveries(before="1")  # type: ignore
    len(client.deliveries())  # type: ignore
    batch.wait(tiemout=1)  # type: ignore
    print(result.timings.created_at.foo)  # type: ignore
    print(result.error.kind)  # type: ignore
    result.label.upper()  # type: ignore
    pipeline.Definition(name="x")  # type: ignore
    pipeline.Definition(nam="x", classify={"use": "keywords"})  # type: ignore
    pipeline.Result.from_row({})  # type: ignore
    pipeline.Item(payload={}, id=1)  # type: ignore


def with_server(url: str) -> None:
    """Never called: needs a server."""
    refused: tuple[type[pipeline.AccessDenied], ...] = (
        pipeline.BadKey, pipeline.BadToken, pipeline.ExpiredKey, pipeline.RevokedKey,
    )  # fmt: skip
    client: pipeline.RemoteClient = pipeline.connect(url, api_key="pipe_…")
    with client:
        try:
            batch: pipeline.RemoteBatch = client.submit([{"text": "a"}], "texts")
        except refused as error:
            print(error.code)
            return
        endpoint: pipeline.RemoteEndpoint = client.endpoint("https://example.com")
        deliveries: Iterator[pipeline.RemoteDelivery] = client.deliveries(batch=batch, state="dead")
        print(endpoint.show().state, [delivery.replay().state for delivery in deliveries])
        results: Iterator[pipeline.Result] = batch.results(follow=True)
        print([result.label for result in results], batch.wait(timeout=60).succeeded)


def submit_file(client: pipeline.Client, folder: Path) -> None:
    path = folder / "rows.csv"
    path.write_text("text,amount\nfrom a file,007\n", encoding="utf-8")
    source: pipeline.SourceReader = pipeline.read(path)
    payloads: list[dict[str, Any]] = list(source)
    assert payloads == [{"text": "from a file", "amount": "007"}]
    frames: list[pipeline.ArrowStream] = []
    assert not frames
    assert [kind.value for kind in pipeline.FieldType][0] == "text"
    client.submit(source, definition()).wait(timeout=60)


def main(folder: Path) -> None:
    tested: list[pipeline.Result] = run_definition(definition(), [{"text": "short"}, {"text": ""}])
    assert [each.state.value for each in tested] == ["succeeded", "dead"]
    body = json.dumps({"type": "item.completed", "timestamp": "", "data": tested[0].to_dict()}).encode()
    assert receive(body, sign_webhook(body), TEST_SECRET) == 204
    assert receive(body, sign_webhook(body + b" "), TEST_SECRET) == 400
    with embedded(folder, hooks=[note]) as client, WebhookReceiver() as receiver:
        with client.transaction() as connection:
            connection.execute(text("CREATE TABLE notes (key TEXT, label TEXT)"))
        batch = follow(client, receiver)
        look_after(client, receiver, batch)
        failures(client)
        client.work()
        submit_file(client, folder)
    assert len(seen) == 6

    async def asynchronously() -> None:
        async with embedded_async(folder) as client:
            await follow_async(client)

    asyncio.run(asynchronously())
    connect(folder).close(deliver=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
