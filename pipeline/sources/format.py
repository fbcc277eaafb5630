"""Formats of input: by name, by a file's suffix, by the first bytes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput


class InputFormat(StrEnum):
    """How items are written in a file; any but Parquet may be compressed with gzip."""

    #: One JSON object a line.
    JSONL = "jsonl"
    #: One array of JSON objects; a file that holds lines is read as lines.
    JSON = "json"
    #: A header, then one row an item; the delimiter is found out.
    CSV = "csv"
    #: As CSV, separated by tabs.
    TSV = "tsv"
    #: Columns; needs the extra `parquet`.
    PARQUET = "parquet"


_BY_NAME = {**{str(known): known for known in InputFormat}, "ndjson": InputFormat.JSONL}
_NAMES = ", ".join(InputFormat)


def named(name: str) -> InputFormat:
    """Return the format called `name`; raises InvalidInput where there is none."""
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise InvalidInput(f"unknown format {name!r}{hint(name, _BY_NAME)}; formats are {_NAMES}")
    return found


def of_path(path: Path) -> InputFormat:
    """Return the format that `path`'s suffix says; raises InvalidInput where it says none."""
    bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    found = _BY_NAME.get(bare.suffix.lower().removeprefix("."))
    if found is None:
        said = f"the suffix {bare.suffix!r} is no known format" if bare.suffix else "the name has no suffix"
        raise InvalidInput(f"cannot tell the format of {path}: {said}; say it with --format ({_NAMES})")
    return found


def of_head(head: bytes) -> InputFormat:
    """Return the format that the first bytes of a text look like."""
    first = head.lstrip()[:1]
    if first == b"[":
        return InputFormat.JSON
    return InputFormat.JSONL if first == b"{" else InputFormat.CSV
