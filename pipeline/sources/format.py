"""Input formats, determined by name, by file suffix, or by the first bytes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput
from pipeline.sources.file_kinds import refuse_other_kind


class InputFormat(StrEnum):
    """The format of the items in a file. All formats except Parquet may be compressed with gzip."""

    #: One JSON object per line.
    JSONL = "jsonl"
    #: An array of JSON objects; a file with one object per line is read as JSON Lines.
    JSON = "json"
    #: A header, then one item per row; the delimiter is detected.
    CSV = "csv"
    #: CSV, separated by tabs.
    TSV = "tsv"
    #: Apache Parquet; needs the extra `parquet`.
    PARQUET = "parquet"


_BY_NAME = {**{str(each): each for each in InputFormat}, "ndjson": InputFormat.JSONL}
_NAMES = ", ".join(InputFormat)


def parse_format(name: str) -> InputFormat:
    """Return the format with this name, in any case.

    Raises:
        InvalidInput: there is no such format.
    """
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise InvalidInput(f"unknown format {name!r}{hint(name, _BY_NAME)}; formats are {_NAMES}")
    return found


def format_from_suffix(path: Path) -> InputFormat:
    """Return the format for the suffix of `path`, ignoring `.gz`.

    Raises:
        InvalidInput: the suffix is missing or unknown; a file that holds no items is named instead.
    """
    uncompressed = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = uncompressed.suffix
    found = _BY_NAME.get(suffix.lower().removeprefix("."))
    if found is None:
        refuse_other_kind(path)
        reason = f"the suffix {suffix!r} is unknown" if suffix else "the name has no suffix"
        raise InvalidInput(f"cannot tell the format of {path}: {reason}; name it with --format ({_NAMES})")
    return found


def guess_format(head: bytes) -> InputFormat:
    """Guess the format of a text from its first bytes."""
    first = head.lstrip()[:1]
    if first == b"[":
        return InputFormat.JSON
    return InputFormat.JSONL if first == b"{" else InputFormat.CSV
