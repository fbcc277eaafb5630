"""Batches whose items finish when a test says so, and exports that work when it says so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, update

from pipeline.batches.finish import finish
from pipeline.batches.sql import batches
from pipeline.batches.sql import exports as of_batches
from pipeline.batches.sql.items import FINISHED_COLUMNS
from pipeline.context import Context
from pipeline.database.row import Row, rows
from pipeline.database.tables import POSITIONS_PER_BATCH, definitions, items
from pipeline.domain.ids import new_batch_id
from pipeline.domain.urls.export_target import parse_export_target
from pipeline.exports.run_exports import ExportRunner
from pipeline.exports.sql import exports, parts
from pipeline.exports.verify import verify


def start_batch(context: Context, total: int, *targets: str, url: str | None = None) -> int:
    """Store a running batch with items that nobody works on. Return its row id.

    Args:
        url: the batch's callback URL.
    """
    now = context.now()
    with context.database.write() as connection:
        definition = {"name": "tickets", "version": new_batch_id(), "content": "{}", "stages": "classify"}
        made = insert(definitions).values(**definition, created_at=now).returning(definitions.c.id)
        row = {
            "public_id": new_batch_id(),
            "definition_id": connection.execute(made).scalar_one(),
            "fair_key": "",
            "weight": 1,
            "batch_callback_url": url,
            "created_at": now,
        }
        batch_id = batches.add(connection, row)
        of_batches.add(connection, batch_id, [str(parse_export_target(each)) for each in targets], now)
        connection.execute(insert(items), [_item(batch_id, position, now) for position in range(1, total + 1)])
        batches.accept(connection, batch_id, total, now)
    return batch_id


def _item(batch_id: int, position: int, now: Any) -> dict[str, Any]:
    payload = orjson.dumps({"body": f"text {position}"}).decode()
    times = {"created_at": now, "state": "running", "stage": "classify", "attempts": 1}
    return {"id": batch_id * POSITIONS_PER_BATCH + position, "batch_id": batch_id, "position": position,
            "key": f"K-{position}", "payload": payload, **times}  # fmt: skip


def finish_items(
    context: Context, batch_id: int, positions: Sequence[int], *, label: str = "billing", state: str = "succeeded"
) -> None:
    """Let items finish, in one transaction."""
    now = context.now()
    values: dict[str, Any] = {"state": state, "finished_at": now}
    if state == "succeeded":
        values |= {"label": label, "confidence": 0.5, "classified_at": now, "classification": '{"label":"x"}'}
    else:
        values |= {"error_kind": "permanent", "error_type": "E", "error_message": "no", "error_stage": "classify"}
    ids = [batch_id * POSITIONS_PER_BATCH + position for position in positions]
    with context.database.write() as connection:
        changed = update(items).where(items.c.id.in_(ids)).values(**values)
        done = rows(connection.execute(changed.returning(*(items.c[name] for name in FINISHED_COLUMNS))))
        finish(connection, sorted(done, key=lambda row: row["id"]), context.hooks, now)


def work(context: Context, *, rounds: int = 10) -> None:
    """Let exports work as one process would, until none has anything to do."""
    runner = ExportRunner(context, batch_id=None, is_stopped=lambda: False)
    for _ in range(rounds):
        found = runner.find_work()
        if not found:
            return
        for export_id in found:
            runner.run(export_id)
    raise AssertionError(f"exports still have something to do after {rounds} rounds")


def export_of(context: Context, batch_id: int, number: int = 1) -> Row:
    """Return an export of a batch."""
    with context.database.read() as connection:
        return exports.find_of_batch(connection, batch_id)[number - 1]


def parts_of(context: Context, batch_id: int) -> list[Row]:
    """Return the parts of a batch's first export."""
    with context.database.read() as connection:
        found = exports.find_of_batch(connection, batch_id)[0]
        return parts.find_all(connection, found["id"])


def problems_of(context: Context, batch_id: int) -> list[str]:
    """Return what a verification finds wrong with a batch's first export."""
    return verify(context, export_of(context, batch_id)).problems


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Return the results in all parts below a folder, by `seq`."""
    contents = [(part.read_bytes(), part.suffix) for part in folder.rglob("part-*.jsonl*")]
    texts = [gzip.decompress(content) if suffix == ".gz" else content for content, suffix in contents]
    found = [json.loads(line) for text in texts for line in text.splitlines()]
    return sorted(found, key=lambda result: int(result["seq"]))


def manifest_in(folder: Path, name: str = "manifest.json") -> dict[str, Any]:
    """Return the manifest of the only batch below a folder."""
    (path,) = folder.glob(f"*/{name}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found
