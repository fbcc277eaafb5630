"""Open the source of a submission, with what the submission says about its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.definitions.input_and_retry import input_mapping
from pipeline.sources import ItemSource, ReadOptions, ReadReport, open_source


def open_input(
    context: Context,
    locations: Sequence[str | Path],
    submission: Submission,
    options: ReadOptions,
    report: ReadReport,
    *,
    stdin: BinaryIO | None = None,
) -> ItemSource:
    """Return the source of a submission. Nothing of it is read yet.

    Args:
        locations: see `open_source`.
        options: how to read it; the fields that the submission refers to and the size of a payload are added.
        report: counts blank rows and takes warnings while it is read.
        stdin: what `-` reads instead of the process's standard input.

    Raises:
        InvalidInput: a location or an option cannot be used; see `open_source`.
    """
    given = submission.definition.input
    fields = (*given.text_fields, submission.key_field or given.key, submission.callback_url_field)
    names = (input_mapping(given).source_name(name) for name in fields if name)
    header = replace(options.header, unique=frozenset(names))
    chosen = replace(options, header=header, max_bytes=context.settings.max_payload_bytes)
    return open_source(locations, chosen, report, stdin=stdin)
