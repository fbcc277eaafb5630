"""How to read a source, as the user says it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.domain.payload import MAX_PAYLOAD_BYTES
from pipeline.sources.csv_header import HeaderRules
from pipeline.sources.source_access import SourceAccess


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a source. Every option has the default of the command line.

    Args:
        format: one of `InputFormat`; None: that of the suffix, or of the first bytes.
        encoding: Python's name of the text encoding; None: that of the byte order mark, or UTF-8.
        header: what to do about a header that repeats a name or lacks one.
        max_bytes: size limit of one payload as compact JSON.
        access: what may be reached.
        name: of the source in messages; None: its path or URL.
    """

    format: str | None = None
    encoding: str | None = None
    header: HeaderRules = field(default_factory=HeaderRules)
    max_bytes: int = MAX_PAYLOAD_BYTES
    access: SourceAccess = field(default_factory=SourceAccess)
    name: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return the options that decide which items the same bytes make, without those that have their defaults."""
        default = ReadOptions()
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _NOT_READING}
        return {name: _to_json(value) for name, value in given.items() if value != getattr(default, name)}


#: Options that do not change what is read.
_NOT_READING = ("access", "name")


def _to_json(value: Any) -> Any:
    if isinstance(value, HeaderRules):
        return {"lenient": value.lenient, "strict": value.strict, "unique": sorted(value.unique)}
    return list(value) if isinstance(value, tuple) else value
