"""The format of written results, determined by name or by the suffix of the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidArgument, InvalidInput, escape_braces


class OutputFormat(StrEnum):
    """The format of written results. Text may be compressed with gzip."""

    #: One JSON object per line; the file grows as results arrive.
    JSONL = "jsonl"
    #: A header and one row per result, separated by commas.
    CSV = "csv"
    #: The same, separated by tabs.
    TSV = "tsv"
    #: Apache Parquet; needs the extra `parquet`.
    PARQUET = "parquet"
    #: A workbook of Excel; needs the extra `excel`.
    XLSX = "xlsx"

    def check_extra(self) -> None:
        """Raise `InvalidInput` if the library that writes this format is not installed."""
        needed = _LIBRARIES.get(self)
        if needed is not None and find_spec(needed) is None:
            raise InvalidInput(f"writing {self} needs {needed}: pip install 'pipeline[{_EXTRAS[self]}]'")

    @property
    def is_text(self) -> bool:
        return self in (OutputFormat.JSONL, OutputFormat.CSV, OutputFormat.TSV)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How results are written: the format, and whether the file is compressed with gzip."""

    format: OutputFormat
    is_gzip: bool = False

    @property
    def grows(self) -> bool:
        """Whether the file can be read while it is written."""
        return self.format is OutputFormat.JSONL and not self.is_gzip


_BY_NAME = {**{str(each): each for each in OutputFormat}, "ndjson": OutputFormat.JSONL}
_LIBRARIES = {OutputFormat.PARQUET: "pyarrow", OutputFormat.XLSX: "openpyxl"}
_EXTRAS = {OutputFormat.PARQUET: "parquet", OutputFormat.XLSX: "excel"}
_GZIP = ".gz"
_NAMES = f"{', '.join(list(OutputFormat)[:-1])} or {list(OutputFormat)[-1]}"


def choose_encoding(target: str | Path, name: str | None = None) -> Encoding:
    """Return the format `name` (in any case), or that of the file's suffix; without one, JSON Lines.

    Raises:
        InvalidArgument: there is no such format, or it is already compressed. The argument is `format`.
    """
    path = Path(target)
    is_gzip = path.suffix.lower() == _GZIP
    chosen = _from_suffix(path.with_suffix("") if is_gzip else path, path) if name is None else _from_name(name)
    if is_gzip and not chosen.is_text:
        raise InvalidArgument(
            escape_braces(f"cannot write {path}: {chosen} is compressed already; give a name without {_GZIP}")
        )
    return Encoding(chosen, is_gzip)


def _from_name(name: str) -> OutputFormat:
    found = _BY_NAME.get(name.lower())
    if found is None:
        reason = f"unknown format {name!r}{hint(name, _BY_NAME)}; results are written as {_NAMES}"
        raise InvalidArgument(escape_braces(reason))
    return found


def _from_suffix(path: Path, target: Path) -> OutputFormat:
    suffix = path.suffix.lower()
    found = _BY_NAME.get(suffix.removeprefix(".")) if suffix else OutputFormat.JSONL
    if found is None:
        reason = f"cannot write {target}: the suffix {path.suffix!r} is unknown; results are written as {_NAMES}"
        raise InvalidArgument(escape_braces(reason) + "; name one with {0}", "format")
    return found
