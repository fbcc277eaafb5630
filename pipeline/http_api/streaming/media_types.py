"""Choose how results are written, by a parameter or by the header `Accept`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ResultFormat(StrEnum):
    """How results are written."""

    #: Pages.
    JSON = "json"
    #: One result per line.
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    XLSX = "xlsx"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]

    @property
    def is_file(self) -> bool:
        """Whether it is a table to be saved."""
        return self not in (ResultFormat.JSON, ResultFormat.NDJSON)


EVENT_STREAM = "text/event-stream"
JSON = "application/json"
NDJSON = "application/x-ndjson"

_MEDIA_TYPES: Mapping[ResultFormat, str] = {
    ResultFormat.JSON: JSON,
    ResultFormat.NDJSON: NDJSON,
    ResultFormat.CSV: "text/csv",
    ResultFormat.TSV: "text/tab-separated-values",
    ResultFormat.PARQUET: "application/vnd.apache.parquet",
    ResultFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_BY_MEDIA_TYPE = {media_type: name for name, media_type in _MEDIA_TYPES.items()} | {
    "application/jsonl": ResultFormat.NDJSON,
}


def accepted(header: str) -> list[str]:
    """Return the media types of a header `Accept`, in lower case, in the order given, without those refused."""
    found = []
    for each in header.lower().split(","):
        media_type, _, options = each.partition(";")
        quality = options.replace(" ", "").partition("q=")[2].partition(";")[0]
        if quality not in ("0", "0.0", "0.00", "0.000"):
            found.append(media_type.strip())
    return found


def accepts_events(header: str) -> bool:
    """Return whether a header `Accept` asks for server-sent events."""
    return EVENT_STREAM in accepted(header)


def accepts_gzip(header: str) -> bool:
    """Return whether a header `Accept-Encoding` allows gzip."""
    return any(each in ("gzip", "x-gzip", "*") for each in accepted(header))


def choose_format(name: str | None, header: str) -> ResultFormat:
    """Return the format of that name, or else the first in the header `Accept` that there is, or else JSON."""
    if name is not None:
        return ResultFormat(name)
    return next((_BY_MEDIA_TYPE[each] for each in accepted(header) if each in _BY_MEDIA_TYPE), ResultFormat.JSON)
