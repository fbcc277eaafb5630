"""`pipeline submit` against a server: the input is read here, items are sent in parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.cli.file_conflicts import check_file_conflicts
from pipeline.cli.remote.session import open_server, refuse_option
from pipeline.cli.run.rejections import open_rejections
from pipeline.cli.run.stop_signals import StopSignals
from pipeline.cli.run.submission import SubmitRequest
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.read_progress import read_progress
from pipeline.cli.streams import print_data
from pipeline.client.remote.remote_batch import RemoteBatch
from pipeline.client.remote.remote_client import RemoteClient
from pipeline.domain.item import Item
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidItems, InvalidSettings
from pipeline.sources import ReadReport, open_source
from pipeline.sources.locations import local_paths


def submit(sources: tuple[str, ...], watch: bool, quiet: bool, as_json: bool, **given: Any) -> int:
    """Send INPUT to the server and print the id of the batch."""
    messages = Messages(quiet)
    with open_server() as (_, client), StopSignals() as stop:
        batch, rejected = send_batch(client, SubmitRequest.of(sources, given), messages, stop, as_json=as_json)
        progress = batch.progress()
    if as_json:
        print_json({"batch_id": batch.id, "total": progress.total, "is_new": batch.is_new, "rejected": rejected})
    else:
        print_data(batch.id)
    if watch:
        from pipeline.cli.remote.watch import watch as watch_batch

        return watch_batch(batch.id, quiet, as_json=False)
    return 0


def send_batch(
    client: RemoteClient, request: SubmitRequest, messages: Messages, stop: StopSignals, *, as_json: bool
) -> tuple[RemoteBatch, int]:
    """Read the source and submit its items to the server. Return the batch and the number of refused items.

    Raises:
        InvalidItems: an item was refused under `--on-error fail`, or there are none.
        Stopped: a stop was requested; nothing is stored.
    """
    if request.definition is None:
        raise InvalidSettings("give the definition with -p: the name of one on the server, or a file to send along")
    if request.discard:
        raise refuse_option("--discard")
    if request.rename or request.text or request.fields:
        raise InvalidSettings("--map, --text and --field do not reach a server; put them into the definition")
    inputs = {f"INPUT {path}": path for each in request.sources for path in local_paths(each)}
    check_file_conflicts(
        reads=inputs | {"the definition": Path(request.definition)}, writes={"--rejects": request.rejects}
    )
    report = ReadReport(warn=messages.warn)
    source = open_source(request.sources, request.reading, report)
    records = source.read()

    def items(on_reject: Callable[[Rejection], object]) -> Iterator[Item]:
        for record in stop.interruptible(records):
            if isinstance(record, Record):
                yield Item(record.payload)
                continue
            on_reject(record)
            if request.on_error == "fail":
                raise InvalidItems(f"{record.place}: {record.reason}; nothing was accepted", (record,))

    with (
        open_rejections(request.rejects, messages, report, all_or_none=request.on_error == "fail") as rejections,
        read_progress(messages, source, lambda: rejections.count, as_json=as_json) as on_progress,
    ):
        rejections.resume(None, 0)
        batch = client.submit(
            items(rejections.add),
            request.definition,
            callback_url=request.callback_url,
            batch_callback_url=request.batch_callback_url,
            fallback_url=request.fallback_url,
            callback_schedule=request.callback_schedule,  # type: ignore[arg-type]  # checked by the option
            exports=request.exports,
            guards=request.guards,
            idempotency_key=request.idempotency_key,
            fair_key=request.fair_key or "",
            weight=request.weight,
            key_field=request.key,
            callback_url_field=request.callback_url_field,
            on_reject=None if request.on_error == "fail" else rejections.add,
            on_progress=on_progress,
            traceparent=os.environ.get("TRACEPARENT"),
        )
    return batch, rejections.count
