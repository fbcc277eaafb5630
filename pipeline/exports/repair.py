"""Repair an export: write parts and the manifest again that are damaged or missing, from the results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import BinaryIO

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.urls.export_target import ExportOptions
from pipeline.errors import Conflict, TargetConflict
from pipeline.exports.open_target import open_store, open_target
from pipeline.exports.rules.manifest import encode_manifest, is_same_manifest, make_manifest
from pipeline.exports.rules.part_names import MANIFEST, manifest_name
from pipeline.exports.sql import exports, parts
from pipeline.exports.targets.part_store import PartStore, StoredFile
from pipeline.exports.verify import Verified
from pipeline.exports.write_parts import MAX_OPEN, write_parts
from pipeline.files.export_writer import part_schema


def repair(context: Context, found: Verified) -> list[str]:
    """Write again what a verification found damaged or missing. Return where that is.

    A part gets the bytes that it had, or stays as it is: the manifest and its readers know them.

    Raises:
        Conflict: the export is not complete, or goes to a table.
        TargetConflict: the results of a part, or the library that wrote it, are not the same any more.
        TargetUnavailable: the target does not answer.
    """
    row = found.export
    if not found.damaged and not found.has_damaged_manifest:
        return []
    if row["state"] != "complete":
        raise Conflict(f"export {row['id']} is {row['state']}; repair it once it is complete")
    opened = open_target(context, row["target"])
    store = open_store(opened, row["public_id"])
    written: list[str] = []
    for _, of_range in groupby(found.damaged, key=lambda part: part["first_seq"]):
        left = list(of_range)
        while left:
            some, left = left[:MAX_OPEN], left[MAX_OPEN:]
            restored = _Restored(store, {part["name"]: part for part in some})
            write_parts(context, row, some, opened.target.options, restored, lambda: None, lambda *_: None)
            written += [store.location(part["name"]) for part in some]
    if found.has_damaged_manifest:
        _restore_manifest(context, row, store, opened.target.options)
        written.append(store.location(MANIFEST))
    return written


class _Restored:
    """Puts parts in the place of damaged ones, if they have the bytes that those had."""

    def __init__(self, store: PartStore, known: Mapping[str, Row]) -> None:
        self._store, self._known = store, known

    def stage(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self._store.stage(name)

    def publish(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        staged.flush()
        staged.seek(0)
        sha256 = hashlib.file_digest(staged, "sha256").hexdigest()  # type: ignore[arg-type]  # it has `readinto`
        if sha256 != self._known[name]["sha256"]:
            raise TargetConflict(
                f"{self._store.location(name)} cannot get the bytes that it had: its results, or the version of the "
                "library that wrote it, have changed; export the batch to another place"
            )
        return self._store.restore(name, staged, content)


def _restore_manifest(context: Context, row: Row, store: PartStore, options: ExportOptions) -> None:
    with context.database.read() as connection:
        batch = exports.find_batch(connection, row["batch_id"])
        stored: Sequence[Row] = parts.find_all(connection, row["id"])
    assert batch is not None
    schema = part_schema(options.format, with_payload=options.with_payload)
    manifest = make_manifest(
        batch, stored, completion=row["completions"], schema=schema, now=row["finished_at"] or context.now()
    )
    content = encode_manifest(manifest)
    if row["completions"] > 1:
        first = store.create(manifest_name(row["completions"]), content)
        if first is not None and is_same_manifest(first, manifest):
            content = first
    damaged = store.create(MANIFEST, content)
    if damaged not in (None, content) and not store.replace(MANIFEST, content, known=damaged or b""):
        raise TargetConflict(f"{store.location(MANIFEST)} has just been changed by somebody else; verify it again")
