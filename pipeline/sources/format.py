"""Input formats, determined by name, by file suffix, by media type, or by the first bytes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput


class InputFormat(StrEnum):
    """The format of the items in a file. Text may be compressed."""

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
    #: Apache Arrow IPC, as a file or a stream; needs the extra `parquet`.
    ARROW = "arrow"
    #: A workbook of Excel; needs the extra `excel`.
    XLSX = "xlsx"


#: Formats whose files are no text.
BINARY_FORMATS = (InputFormat.PARQUET, InputFormat.ARROW, InputFormat.XLSX)
_BY_NAME = {**{str(each): each for each in InputFormat}, "ndjson": InputFormat.JSONL}
_BY_SUFFIX = {
    **_BY_NAME,
    "tab": InputFormat.TSV,
    "feather": InputFormat.ARROW,
    "arrows": InputFormat.ARROW,
    "ipc": InputFormat.ARROW,
    "xlsm": InputFormat.XLSX,
}
_BY_MEDIA_TYPE = {
    "application/x-ndjson": InputFormat.JSONL,
    "application/ndjson": InputFormat.JSONL,
    "application/jsonl": InputFormat.JSONL,
    "application/x-jsonlines": InputFormat.JSONL,
    "application/json": InputFormat.JSON,
    "text/csv": InputFormat.CSV,
    "text/tab-separated-values": InputFormat.TSV,
    "application/vnd.apache.parquet": InputFormat.PARQUET,
    "application/vnd.apache.arrow.file": InputFormat.ARROW,
    "application/vnd.apache.arrow.stream": InputFormat.ARROW,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": InputFormat.XLSX,
}
#: Suffixes that say nothing of the format: it is that of the content.
_ANY_CONTENT = frozenset({"", "txt", "dat", "log", "zip", "tar", "tgz", "tbz2", "txz"})
_COMPRESSIONS = frozenset({"gz", "zst", "bz2", "xz"})
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


def is_known(path_name: str) -> bool:
    """Return whether the suffix of a file's name is that of a format."""
    return _suffix(path_name) in _BY_SUFFIX


def format_from_name(path_name: str, name: str) -> InputFormat | None:
    """Return the format for the suffix of a file's name, ignoring that of a compression; None: that of the content.

    Args:
        path_name: the last part of its path.
        name: of the file in messages.

    Raises:
        InvalidInput: the suffix is unknown.
    """
    suffix = _suffix(path_name)
    found = _BY_SUFFIX.get(suffix)
    if found is None and suffix not in _ANY_CONTENT:
        raise InvalidInput(
            f"cannot tell the format of {name}: the suffix '.{suffix}' is unknown; name it with --format ({_NAMES})"
        )
    return found


def format_from_media_type(media_type: str | None) -> InputFormat | None:
    """Return the format of a content type such as `text/csv; charset=utf-8`, None if it names none."""
    return _BY_MEDIA_TYPE.get((media_type or "").partition(";")[0].strip().lower())


def guess_format(head: bytes) -> InputFormat:
    """Guess the format of a text from its first bytes."""
    first = head.lstrip()[:1]
    if first == b"[":
        return InputFormat.JSON
    return InputFormat.JSONL if first == b"{" else InputFormat.CSV


def _suffix(path_name: str) -> str:
    path = PurePosixPath(path_name)
    suffix = path.suffix.lower().removeprefix(".")
    return path.with_suffix("").suffix.lower().removeprefix(".") if suffix in _COMPRESSIONS else suffix
