"""Read the items of a submission from a file or a stream, with what the submission says about its fields."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.domain.payload import Record, Rejection
from pipeline.sources import HeaderRules, ReadReport, read_items


class InputOptions(NamedTuple):
    """How to read an input.

    Args:
        format: one of `InputFormat`; None: by its name or its first bytes.
        encoding: of its text; None: by its byte order mark, or UTF-8.
        is_lenient: whether a column of a table may lack a name.
        is_strict: whether a table whose header has a name twice is refused.
    """

    format: str | None = None
    encoding: str | None = None
    is_lenient: bool = False
    is_strict: bool = False


def read_input(
    context: Context,
    source: str | Path,
    submission: Submission,
    options: InputOptions,
    report: ReadReport,
    *,
    stdin: BinaryIO | None = None,
    name: str | None = None,
) -> Iterator[Record | Rejection]:
    """Yield the items of a file or a stream in order, each as a record or a rejection, in constant memory.

    Args:
        source: a file, or `-`: what `stdin` is, or standard input.
        name: of the input in messages.

    Raises:
        InvalidInput: it cannot be read; see `read_items`.
    """
    given = submission.definition.input
    fields = (given.text, submission.key_field or given.key, submission.callback_url_field)
    rules = HeaderRules(lenient=options.is_lenient, strict=options.is_strict, unique=frozenset(filter(None, fields)))
    return read_items(
        source,
        format=options.format,
        encoding=options.encoding,
        header=rules,
        report=report,
        stdin=stdin,
        max_bytes=context.settings.max_payload_bytes,
        name=name,
    )
