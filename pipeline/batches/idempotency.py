"""A repeated idempotency key must come with the same submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import Conflict


def refuse_different(batch: Mapping[str, Any], known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Compare a submission with the batch that has its idempotency key. Items are not compared.

    Args:
        batch: the batch's public id and idempotency key.
        known: the content of the batch's definition, and its callback URLs.
        given: the same for this submission.

    Raises:
        Conflict: they differ.
    """
    different = [name for name in given if _without_locations(known[name]) != _without_locations(given[name])]
    if different:
        name = batch["public_id"]
        raise Conflict(
            f"idempotency key {batch['idempotency_key']!r} belongs to batch {name}, which has a different "
            f"{' and '.join(different)}; `pipeline run --batch {name}` continues it, another key starts a new batch"
        )


def _without_locations(value: Any) -> Any:
    # A definition may have moved to another folder; only the content of its files counts.
    if not isinstance(value, Mapping):
        return value
    return {**value, "folder": None, "files": sorted(value.get("files", {}).values())}
