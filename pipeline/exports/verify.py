"""Verify an export: read everything that it has written, and compare it with what it should have written."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import BinaryIO, cast

import orjson

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.urls.export_target import ExportFormat, TableMode, TargetKind
from pipeline.exports.open_target import OpenedTarget, open_store, open_target
from pipeline.exports.rules.manifest import listed_parts
from pipeline.exports.rules.part_names import MANIFEST, manifest_name
from pipeline.exports.sql import event_log, parts
from pipeline.exports.targets.part_store import PartStore
from pipeline.files.read_part import DamagedPart, read_seqs


@dataclass(slots=True)
class Verified:
    """What the verification of an export found.

    Args:
        parts, rows, bytes: what was read.
        damaged: stored parts that are missing or have other bytes.
        has_damaged_manifest: whether the manifest is missing or says something else.
        problems: what is wrong, each in a sentence; none: the export is what it should be.
    """

    export: Row
    parts: int = 0
    rows: int = 0
    bytes: int = 0
    damaged: list[Row] = field(default_factory=list)
    has_damaged_manifest: bool = False
    problems: list[str] = field(default_factory=list)


def verify(context: Context, row: Row) -> Verified:
    """Verify one export.

    Args:
        row: its row, with how far its batch is.

    Raises:
        TargetUnavailable: its target cannot be read.
        InvalidInput: a library is not installed, or the connection cannot be used.
    """
    found = Verified(row)
    if row["state"] != "complete":
        found.problems.append(f"it is {row['state']}, not complete")
    opened = open_target(context, row["target"])
    if opened.target.kind is TargetKind.TABLE:
        _verify_table(context, row, opened, found)
    else:
        _verify_files(context, row, opened, found)
    return found


def _verify_files(context: Context, row: Row, opened: OpenedTarget, found: Verified) -> None:
    store = open_store(opened, row["public_id"])
    with context.database.read() as connection:
        known = parts.find_all(connection, row["id"])
        expected = event_log.count_results(connection, row["batch_id"], 1, row["next_seq"])
    stored = [part for part in known if part["state"] == "stored"]
    _verify_manifest(store, row, stored, found)
    for _, of_range in groupby(stored, key=lambda part: part["first_seq"]):
        _verify_range(context, row, list(of_range), opened.target.options.format, store, found)
    if row["state"] == "complete" and found.rows != expected:
        found.problems.append(f"its parts have {found.rows:,} results, the batch has {expected:,}")
    names = {part["name"] for part in known} | {manifest_name(each) for each in range(1, row["completions"] + 2)}
    found.problems += [f"{store.location(name)} does not belong to it" for name in store.names() if name not in names]


def _verify_manifest(store: PartStore, row: Row, stored: Sequence[Row], found: Verified) -> None:
    if not row["completions"]:
        return
    try:
        manifest = orjson.loads(b"".join(store.read(MANIFEST)))
        listed = listed_parts(manifest)
    except FileNotFoundError:
        found.has_damaged_manifest = True
        found.problems.append(f"{store.location(MANIFEST)} is missing")
        return
    except (ValueError, KeyError, TypeError):
        found.has_damaged_manifest = True
        found.problems.append(f"{store.location(MANIFEST)} is no manifest")
        return
    if row["state"] == "complete" and listed != listed_parts({"parts": stored}):
        found.has_damaged_manifest = True
        found.problems.append(f"{store.location(MANIFEST)} lists other parts than were written")


def _verify_range(
    context: Context, row: Row, of_range: Sequence[Row], format: ExportFormat, store: PartStore, found: Verified
) -> None:
    """Read the parts of one range, which together have each of its results once."""
    seqs: set[int] = set()
    first, last = of_range[0]["first_seq"], of_range[0]["last_seq"]
    for part in of_range:
        seqs |= _verify_part(part, format, store, found, known=seqs)
    with context.database.read() as connection:
        expected = set(event_log.find_result_seqs(connection, row["batch_id"], first, last))
    if seqs != expected:
        missing, foreign = len(expected - seqs), len(seqs - expected)
        found.problems.append(
            f"seq {first} to {last}: {missing:,} results are missing, {foreign:,} do not belong there"
        )


def _verify_part(part: Row, format: ExportFormat, store: PartStore, found: Verified, *, known: set[int]) -> set[int]:
    location = store.location(part["name"])
    with tempfile.TemporaryFile() as file:
        try:
            digest, size = _fetch(store.read(part["name"]), cast(BinaryIO, file))
        except FileNotFoundError:
            found.damaged.append(part)
            found.problems.append(f"{location} is missing")
            return set()
        file.seek(0)
        try:
            seqs = list(read_seqs(format, cast(BinaryIO, file)))
        except DamagedPart as error:
            found.damaged.append(part)
            found.problems.append(f"{location} cannot be read ({error})")
            return set()
    found.parts, found.rows, found.bytes = found.parts + 1, found.rows + len(seqs), found.bytes + size
    if (digest, size) != (part["sha256"], part["bytes"]):
        found.damaged.append(part)
        found.problems.append(f"{location} has other bytes than were written")
    if len(seqs) != part["rows"]:
        found.problems.append(f"{location} has {len(seqs):,} results instead of {part['rows']:,}")
    if any(one >= other for one, other in zip(seqs, seqs[1:], strict=False)) or not known.isdisjoint(seqs):
        found.problems.append(f"{location} has results twice, or out of order")
    return set(seqs)


def _fetch(blocks: Iterator[bytes], file: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
        file.write(block)
    return digest.hexdigest(), size


def _verify_table(context: Context, row: Row, opened: OpenedTarget, found: Verified) -> None:
    # Imported here: its driver takes long to import.
    from pipeline.exports.targets.result_table import TableRef, open_table

    table = open_table(TableRef(opened.target, opened.shown, row["public_id"], row["number"]), opened.options)
    try:
        next_seq = table.next_seq()
        found.rows, _, highest = table.count()
    finally:
        table.close()
    with context.database.read() as connection:
        expected = event_log.count_results(connection, row["batch_id"], 1, next_seq)
    if row["state"] == "complete" and next_seq != row["next_seq"]:
        found.problems.append(f"the table has results up to seq {next_seq - 1:,}, not {row['next_seq'] - 1:,}")
    if highest >= next_seq:
        found.problems.append(f"the table has seq {highest:,}, which is not in it yet")
    is_append = opened.target.options.mode is TableMode.APPEND
    if (is_append and found.rows != expected) or found.rows > expected:
        found.problems.append(f"the table has {found.rows:,} results of the batch, expected {expected:,}")
