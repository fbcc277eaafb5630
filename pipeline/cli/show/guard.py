"""Guards of a batch, as `--json` prints them, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cli.show.output import print_fields
from pipeline.cli.show.table import print_table

_HEADERS = ("guard", "state", "tolerates", "action", "failed", "observed", "score", "fired", "says")


def print_guards(found: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """Print guards as a table."""
    rows = [
        (
            each["name"],
            each["state"],
            _tolerated(each),
            each["action"],
            each["failed"],
            each["observed"],
            round(each["score"], 1),
            each["fired_at"],
            each["summary"],
        )
        for each in found
    ]
    right = {"failed", "observed", "score"}
    print_table(_HEADERS, rows, right=right, below=("says", "fired"), empty="no guards", title=title)


def print_guard(found: Mapping[str, Any]) -> None:
    """Print one guard."""
    print_fields({**found, "errors": ", ".join(found["errors"]) or None, "score": round(found["score"], 1)})


def _tolerated(guard: Mapping[str, Any]) -> str:
    rate = None if guard["rate"] is None else f"{100 * guard['rate']:g} %"
    count = None if guard["count"] is None else f"{guard['count']} {guard['of']}"
    return " or ".join(each for each in (rate, count) if each is not None)
