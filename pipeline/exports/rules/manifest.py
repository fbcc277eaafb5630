"""The manifest of an export: what belongs to it. It is written last; without one, an export is not complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from pipeline.domain.event import format_timestamp

VERSION = 1
_COUNTS = ("total", "succeeded", "dead", "cancelled")
_PART = ("name", "partition", "first_seq", "last_seq", "rows", "bytes", "sha256")


def make_manifest(
    batch: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    *,
    completion: int,
    schema: Sequence[Mapping[str, str]],
    now: datetime,
) -> dict[str, Any]:
    """Return the manifest of an export.

    Args:
        batch: its row.
        parts: rows of all stored parts, in order.
        completion: how many times the export has been complete, this one included.
        schema: name and type of each column, in order.
    """
    return {
        "version": VERSION,
        "batch_id": batch["public_id"],
        "completion": completion,
        "definition": batch["definition"],
        **{name: batch[name] for name in _COUNTS},
        "first_seq": 1,
        "last_seq": parts[-1]["last_seq"] if parts else 0,
        "schema": [dict(column) for column in schema],
        "parts": listed_parts({"parts": parts}),
        "created_at": format_timestamp(now),
    }


def encode_manifest(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as it is stored: JSON that people can read."""
    return orjson.dumps(dict(manifest), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def is_same_manifest(stored: bytes, manifest: Mapping[str, Any]) -> bool:
    """Return whether a stored manifest says the same: one that an attempt before this one wrote."""
    try:
        found = orjson.loads(stored)
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    return {**found, "created_at": None} == {**orjson.loads(orjson.dumps(dict(manifest))), "created_at": None}


def is_of_same_completion(stored: bytes, manifest: Mapping[str, Any]) -> bool:
    """Return whether a stored manifest is of the same completion, from before the batch ran again: it lists the first
    of the parts that the other lists.
    """
    try:
        found = orjson.loads(stored)
        is_same = all(found[name] == manifest[name] for name in ("version", "batch_id", "completion"))
        listed = found["parts"]
        return is_same and listed == orjson.loads(orjson.dumps(manifest["parts"][: len(listed)]))
    except (ValueError, KeyError, TypeError):
        return False


def listed_parts(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a manifest says of each part."""
    return [{name: part[name] for name in _PART} for part in manifest["parts"]]


def completion_of(stored: bytes) -> tuple[str, int] | None:
    """Return the batch and the completion of a stored manifest; None if it is no manifest of ours."""
    try:
        found = orjson.loads(stored)
        return str(found["batch_id"]), int(found["completion"])
    except (ValueError, KeyError, TypeError):
        return None
