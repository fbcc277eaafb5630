"""Damaged and missing files of a complete export get the bytes that they had, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import obstore
import pytest
from sqlalchemy import select, update

from pipeline.connections.connection import NamedConnection, NamedConnections
from pipeline.context import Context
from pipeline.database.tables import events
from pipeline.errors import Conflict, TargetConflict
from pipeline.exports.open_target import open_store, open_target
from pipeline.exports.repair import repair
from pipeline.exports.targets.object_store import ObjectFolder
from pipeline.exports.verify import verify
from tests.support.exporting import export_of, finish_items, parts_of, problems_of, start_batch, work
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.object_store import ObjectStore

pytestmark = on_sqlite


def read(context: Context, batch: int) -> dict[str, bytes]:
    """Return every file of a batch's first export."""
    row = export_of(context, batch)
    store = open_store(open_target(context, row["target"]), row["public_id"])
    return {name: b"".join(store.read(name)) for name in store.names()}


def damage_all(context: Context, batch: int, damage: Callable[[str, bytes | None], object]) -> None:
    """Delete a part, change others, and delete the manifest."""
    first, second, third = (part["name"] for part in parts_of(context, batch))
    damage(first, None)
    damage(second, b"no part")
    damage(third, b"")
    damage("manifest.json", None)


def check_repair(context: Context, batch: int, damage: Callable[[str, bytes | None], object]) -> None:
    before = read(context, batch)
    assert repair(context, verify(context, export_of(context, batch))) == []
    damage_all(context, batch, damage)
    assert len(problems_of(context, batch)) > 3
    assert len(repair(context, verify(context, export_of(context, batch)))) == 4
    assert problems_of(context, batch) == []
    after = read(context, batch)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: content for name, content in before.items() if name != "manifest.json"
    }


@pytest.mark.parametrize("options", ["rows=2", "format=parquet&rows=2", "partition=label&rows=9"])
def test_files_of_a_folder_are_written_again(context: Context, tmp_path: Path, options: str) -> None:
    batch = start_batch(context, 6, f"{tmp_path}/out/?{options}")
    for positions, label in (([1, 2], "a"), ([3, 4], "b"), ([5, 6], "c")):
        finish_items(context, batch, positions, label=label)
    work(context)
    (folder,) = (tmp_path / "out").iterdir()

    def damage(name: str, content: bytes | None) -> None:
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)

    check_repair(context, batch, damage)


def test_objects_are_written_again(context: Context, object_store: ObjectStore) -> None:
    lake = NamedConnection("lake", object_store.place(), options=object_store.options)
    context = replace(context, connections=NamedConnections({"lake": lake}))
    batch = start_batch(context, 6, "conn://lake/?rows=2")
    finish_items(context, batch, range(1, 7))
    work(context)
    row = export_of(context, batch)
    store = open_store(open_target(context, row["target"]), row["public_id"])
    assert isinstance(store, ObjectFolder)
    bucket, prefix = store._store, store._prefix

    def damage(name: str, content: bytes | None) -> None:
        obstore.delete(bucket, prefix + name) if content is None else obstore.put(bucket, prefix + name, content)

    check_repair(context, batch, damage)


def test_what_cannot_get_its_bytes_back_stays_as_it_is(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 2, f"{tmp_path}/out/")
    finish_items(context, batch, [1])
    work(context)
    damaged = replace(verify(context, export_of(context, batch)), has_damaged_manifest=True)
    with pytest.raises(Conflict, match="is running; repair it once it is complete"):
        repair(context, damaged)
    finish_items(context, batch, [2])
    work(context)
    (part,) = tmp_path.rglob("part-*")
    part.write_bytes(b"no part")
    with context.database.write() as connection:
        body = connection.scalar(select(events.c.body).where(events.c.seq == 1))
        connection.execute(update(events).where(events.c.seq == 1).values(body=body.replace(b"billing", b"invoice")))
    with pytest.raises(TargetConflict, match="cannot get the bytes that it had"):
        repair(context, verify(context, export_of(context, batch)))
    assert part.read_bytes() == b"no part"
    assert [path.name for path in tmp_path.rglob(".*.part")] == []
