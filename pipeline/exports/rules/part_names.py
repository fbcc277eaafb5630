"""What the files of an export are called: by the range of the log that they hold, so that names never collide."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pipeline.domain.urls.export_target import ExportFormat, Partition

#: What Hive and its successors call the partition of rows without a value.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
#: Characters of a value in the name of a folder: file systems allow 255 bytes.
_MAX_VALUE = 180
_HASH_CHARACTERS = 16

MANIFEST = "manifest.json"


def part_name(
    first_seq: int, last_seq: int, format: ExportFormat, partition: Partition | None, value: str | None
) -> str:
    """Return the name of a part below the folder of its batch.

    Args:
        value: what its results have in common; None: they have no value for `partition`.
    """
    name = f"part-{first_seq:012d}-{last_seq:012d}.{format}"
    return name if partition is None else f"{partition}={_folder(value)}/{name}"


def manifest_name(completion: int) -> str:
    """Return the name of the manifest that a completion writes first; the first one has no other."""
    return MANIFEST if completion == 1 else f"manifest-{completion}.json"


def partition_value(partition: Partition, result: Mapping[str, Any]) -> str | None:
    """Return the value that decides into which part a result goes; None: it has none."""
    if partition is Partition.DATE:
        finished_at: str | None = result["timings"]["finished_at"]
        return None if finished_at is None else finished_at[: len("2026-11-21")]
    value: str | None = result[partition.value]
    return value


def _folder(value: str | None) -> str:
    if value is None:
        return NO_VALUE
    # Dots as well, so that no value is `.` or `..`; an empty one would be no folder.
    quoted = quote(value, safe="").replace(".", "%2E") or "%00"
    if len(quoted) <= _MAX_VALUE:
        return quoted
    digest = hashlib.sha256(value.encode()).hexdigest()[:_HASH_CHARACTERS]
    # The last escape may be cut in half: `%C3%A` is no text, and a reader of these names has the hash.
    return f"{quoted[:_MAX_VALUE].rpartition('%')[0] or quoted[:_MAX_VALUE]}~{digest}"
