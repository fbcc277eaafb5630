"""A submission that comes again under its idempotency key is the same, or it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import Conflict


def refuse_another(batch: Mapping[str, Any], known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Compare what a batch was submitted with. Its items are not looked at, which would cost a reading.

    Args:
        batch: its public id and idempotency key.
        known: the content of its definition, and its callback URLs.
        given: the same of this submission.

    Raises:
        Conflict: they differ.
    """
    different = [name for name in given if _without_places(known[name]) != _without_places(given[name])]
    if different:
        name = batch["public_id"]
        raise Conflict(
            f"idempotency key {batch['idempotency_key']!r} is known for batch {name}, with another "
            f"{' and '.join(different)}; `pipeline run --batch {name}` goes on with it, another key makes a new one"
        )


def _without_places(value: Any) -> Any:
    # The same definition may lie elsewhere by now; what its files hold still counts.
    if not isinstance(value, Mapping):
        return value
    return {**value, "folder": None, "files": sorted(value.get("files", {}).values())}
