"""One batch, and a list of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.batch_status import BatchStatus
from pipeline.batches.streamed.interrupted import Interrupted
from pipeline.cli.show.guard import print_guards
from pipeline.cli.show.output import format_counts, format_duration, format_time, print_fields
from pipeline.cli.show.table import print_table
from pipeline.domain.batch import Progress

_COUNTS = ("total", "waiting", "in_flight", "running", "succeeded", "dead", "cancelled")
_EXPORT = ("export_id", "state", "parts", "rows", "target")


def progress_json(progress: Progress) -> dict[str, Any]:
    """Return the progress of a batch as `--json` prints it."""
    return {
        "batch_id": progress.batch_id,
        "definition": progress.definition,
        "state": progress.state.value,
        **{name: getattr(progress, name) for name in _COUNTS},
        "created_at": progress.created_at,
        "completed_at": progress.completed_at,
    }


def status_json(status: BatchStatus) -> dict[str, Any]:
    """Return how a batch is doing as `--json` prints it."""
    counted = {"labels": status.labels, "callbacks": status.callbacks}
    return {
        **progress_json(status.progress),
        **asdict(status.pace),
        "unserved": status.unserved,
        "errors": [asdict(error) for error in status.errors],
        "history": [asdict(each) for each in status.history],
        "exports": status.exports,
        "waiting_steps": [asdict(each) | {"text": each.text} for each in status.waiting_steps],
        "paused_by": status.progress.paused_by,
        "guards": [each.to_json() for each in status.guards],
        "submission": None if status.submission is None else _submission_json(status.submission),
        **{name: counts for name, counts in counted.items() if counts is not None},
    }


def _submission_json(submission: Interrupted) -> dict[str, Any]:
    found = asdict(submission) | {"text": submission.text}
    del found["batch_id"]
    return found


def print_batches(batches: Sequence[Mapping[str, Any]]) -> None:
    """Print batches, each as `--json` prints it, as a table."""
    headers = (
        "batch", "definition", "state", "items", "waiting", "in flight", "running", "succeeded", "dead", "items/s",
        "left", "created",
    )  # fmt: skip
    names = ("batch_id", "definition", "state", "total", "waiting", "in_flight", "running", "succeeded", "dead")
    # Zeros are left out, so that a column of zeros disappears.
    rows = [
        (
            *(batch[name] or None for name in names),
            batch["items_per_second"],
            _time_left(batch),
            batch["created_at"],
        )
        for batch in batches
    ]
    below = ("created", "definition", "items/s", "left", "running", "in flight", "waiting")
    print_table(headers, rows, right=set(headers[3:11]), below=below, empty="no batches")


def print_batch(details: Mapping[str, Any]) -> None:
    """Print a batch, as `--json` prints it, as text."""
    fields = {name: value for name, value in details.items() if not isinstance(value, dict | list)}
    fields["time left"] = _time_left(details)
    del fields["seconds_left"], fields["stands_still_since"]
    # Said beside the batch, in a sentence.
    fields.pop("submission", None)
    fields["callbacks"] = format_counts(details.get("callbacks", {}))
    print_fields(fields)
    if details.get("exports"):
        print_table(
            ("export", "state", "parts", "rows", "target"),
            [tuple(each[name] for name in _EXPORT) for each in details["exports"]],
            right={"export", "parts", "rows"},
            below=("target",),
            title="exports",
        )
    if details.get("labels"):
        print_table(("label", "items"), details["labels"].items(), right={"items"}, title="labels")
    if details["guards"]:
        print_guards(details["guards"], title="guards")
    if details["history"]:
        print_table(("time", "action", "items", "by"), map(_history_row, details["history"]), title="history")


def _history_row(each: Mapping[str, Any]) -> tuple[object, ...]:
    return each["at"], each["action"], each["affected"], each["actor"]


def _time_left(batch: Mapping[str, Any]) -> str | None:
    if batch["stands_still_since"] is not None:
        return f"stands still since {format_time(batch['stands_still_since'])}"
    return None if batch["seconds_left"] is None else format_duration(batch["seconds_left"])
