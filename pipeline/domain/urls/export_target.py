"""Export targets: where the results of a batch are written, and how. Credentials are never part of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pipeline.domain.bounds import WholeNumber, shown
from pipeline.domain.did_you_mean import hint
from pipeline.domain.urls.connection_url import find_credentials, is_connection_name
from pipeline.errors import InvalidArgument, escape_braces

#: Exports of one batch.
MAX_EXPORTS = 8
#: Characters of a target.
MAX_LENGTH = 2_048

_OBJECT_SCHEMES = ("s3", "gs", "az")
_TABLE_SCHEMES = frozenset({"postgresql", "postgres"})
_CONNECTION = "conn"
_FILE = "file"
_KNOWN = "a folder/, s3://, gs://, az://, postgresql:// or conn://NAME"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_IDENTIFIER_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


class InvalidExportTarget(InvalidArgument):
    """An export target cannot be used."""

    code = "invalid_export_target"


class TargetKind(StrEnum):
    """What a target is."""

    FOLDER = "folder"
    OBJECTS = "objects"
    TABLE = "table"
    #: Known once the connection is read.
    CONNECTION = "connection"


class ExportFormat(StrEnum):
    """The format of an export's parts; its value is also the suffix of their names."""

    JSONL_GZ = "jsonl.gz"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Partition(StrEnum):
    """What the results of a part have in common."""

    LABEL = "label"
    STATE = "state"
    #: The day, in UTC, on which items finished.
    DATE = "date"


class ExportFields(StrEnum):
    """Which fields a row has."""

    RESULTS = "results"
    WITH_PAYLOAD = "with_payload"


class TableMode(StrEnum):
    """What a table keeps of items that have several results."""

    #: Every result: the primary key is (batch_id, seq).
    APPEND = "append"
    #: The newest result of each key.
    UPSERT = "upsert"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The options of a target, named as in its query.

    Args:
        rows: results of a part, at most.
        bytes: after how many bytes of stored results a part is closed.
        seconds: after how long a part is closed, counted from its first result; 0: never.
    """

    format: ExportFormat = ExportFormat.JSONL_GZ
    rows: int = 100_000
    bytes: int = 128 * 1024 * 1024
    seconds: int = 300
    partition: Partition | None = None
    fields: ExportFields = ExportFields.RESULTS
    mode: TableMode = TableMode.APPEND

    @property
    def with_payload(self) -> bool:
        return self.fields is ExportFields.WITH_PAYLOAD


_NUMBERS = {
    "rows": WholeNumber(1, 10_000_000),
    "bytes": WholeNumber(1, 1024**3),
    "seconds": WholeNumber(0, 7 * 24 * 3_600),
}
_CHOICES: Mapping[str, type[StrEnum]] = {
    "format": ExportFormat,
    "partition": Partition,
    "fields": ExportFields,
    "mode": TableMode,
}
_ONLY_TABLES = frozenset({"mode"})
_ONLY_FILES = frozenset({"format", "rows", "bytes", "seconds", "partition", "fields"})


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """A target in its normal form.

    Args:
        scheme: `file`, `s3`, `gs`, `az`, `postgresql` or `conn`.
        host: bucket, container, `host:port` of a database, or the name of a connection; empty: `file`.
        path: without a slash at its beginning. For files: ends in a slash, or is empty. For tables: `db/schema.table`.
        given: the options that were given, in their normal form.
    """

    scheme: str
    host: str
    path: str
    given: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> TargetKind:
        return kind_of_scheme(self.scheme) or TargetKind.CONNECTION

    @property
    def options(self) -> ExportOptions:
        values = {
            name: int(text) if name in _NUMBERS else _CHOICES[name](text)
            for name, text in self.given
        }  # fmt: skip
        return replace(ExportOptions(), **values)  # type: ignore[arg-type]  # by name

    @property
    def location(self) -> str:
        """The target without its options."""
        slash = "/" if self.host or self.scheme == _FILE else ""
        return f"{self.scheme}://{self.host}{slash}{quote(self.path, safe='/')}"

    def __str__(self) -> str:
        return self.location + (f"?{urlencode(self.given)}" if self.given else "")

    @property
    def table(self) -> tuple[str, str, str]:
        """The database, schema and table of a target that is a table."""
        database, _, name = self.path.rpartition("/")
        schema, _, table = name.partition(".")
        return database, schema, table

    def at(self, url: str) -> ExportTarget:
        """Return the target that this one means, with the options given here.

        Args:
            url: what a connection makes of it.

        Raises:
            InvalidExportTarget: that is no place for exports, or the options do not suit it.
        """
        scheme, _, rest = url.partition("?")[0].partition("://")
        host, _, path = rest.partition("/")
        return _checked(ExportTarget(scheme, host, unquote(path), self.given), self.location)

    def check_kind(self, kind: TargetKind) -> None:
        """Raise `InvalidExportTarget` if the options do not suit a kind of place."""
        unsuited = _unsuited(kind) & dict(self.given).keys()
        if unsuited:
            what = "a table" if kind is TargetKind.TABLE else "files"
            raise _invalid(self.location, f"{what} cannot have the option {', '.join(sorted(unsuited))}")


def kind_of_scheme(scheme: str) -> TargetKind | None:
    """Return the kind of the places with a scheme; None: exports cannot go there."""
    if scheme == _FILE:
        return TargetKind.FOLDER
    if scheme in _TABLE_SCHEMES:
        return TargetKind.TABLE
    return TargetKind.OBJECTS if scheme in _OBJECT_SCHEMES else None


def parse_export_target(text: str, *, folder: str = "/") -> ExportTarget:
    """Return a target in its normal form.

    Args:
        text: a URL, or a path that ends in a slash; options follow as a query.
        folder: what a relative path is relative to; absolute itself.

    Raises:
        InvalidExportTarget: it is no target, has an unknown option, or contains credentials.
    """
    if not isinstance(text, str) or not text or len(text) > MAX_LENGTH or not text.isprintable():
        raise _invalid(text, f"expected {_KNOWN}, of at most {MAX_LENGTH:,} characters")
    secret = find_credentials(text)
    if secret is not None:
        raise _invalid(_place(text), f"contains {secret}; put the password into a connection: PIPELINE_CONNECTIONS")
    place, _, query = text.partition("?")
    scheme, separator, rest = place.partition("://")
    if not separator:
        return _checked(_folder(text, place, folder, query), text)
    scheme = scheme.lower()
    if scheme not in (*_OBJECT_SCHEMES, *_TABLE_SCHEMES, _CONNECTION, _FILE):
        raise _invalid(place, f"unknown scheme {scheme!r}; exports go to {_KNOWN}")
    if "#" in text:
        raise _invalid(place, "it has a fragment (#…), which has no meaning here; write %23 for the character")
    if scheme == _FILE:
        return _checked(_folder(text, unquote(_local_path(text, rest)), "/", query), text)
    host, _, path = rest.partition("/")
    target = ExportTarget(
        "postgresql" if scheme in _TABLE_SCHEMES else scheme, host, unquote(path), _given(text, query)
    )
    return _checked(target, text)


def _folder(text: str, path: str, folder: str, query: str) -> ExportTarget:
    if not path.endswith("/"):
        raise _invalid(path, f"a folder ends in a slash: {path}/; or give {_KNOWN}")
    whole = path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"
    steps = [step for step in whole.split("/") if step not in ("", ".")]
    if ".." in steps:
        raise _invalid(path, "it contains `..`; give the folder itself")
    return ExportTarget(_FILE, "", "".join(f"{step}/" for step in steps), _given(text, query))


def _local_path(text: str, rest: str) -> str:
    if not rest.startswith("/"):
        raise _invalid(text, "a file:// URL has three slashes: file:///folder/")
    return rest


def _given(text: str, query: str) -> tuple[tuple[str, str], ...]:
    """Return the options of a query, sorted, those with their default left out."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in found:
            raise _invalid(_place(text), f"the option {name!r} comes twice")
        found[name] = _option(text, name, value)
    defaults = {each.name: str(each.default) for each in fields(ExportOptions)}
    return tuple(sorted((name, value) for name, value in found.items() if value != defaults[name]))


def _option(text: str, name: str, value: str) -> str:
    if name in _NUMBERS:
        bound = _NUMBERS[name]
        if not (value.isascii() and value.isdigit() and bound.least <= int(value[:20]) <= bound.most):
            raise _invalid(_place(text), f"{name} is {shown(value)}; expected {bound}")
        return str(int(value))
    if name not in _CHOICES:
        known = (*_CHOICES, *_NUMBERS)
        raise _invalid(_place(text), f"unknown option {shown(name)}{hint(name, known)}; it may have {', '.join(known)}")
    known = tuple(_CHOICES[name])
    if value not in known:
        listed = ", ".join(known)
        raise _invalid(_place(text), f"unknown {name} {shown(value)}{hint(value, known)}; choose from {listed}")
    return value


def _checked(target: ExportTarget, text: str) -> ExportTarget:
    place = _place(text)
    if target.scheme == _CONNECTION and not is_connection_name(target.host):
        raise _invalid(place, f"{shown(target.host)} is no name of a connection")
    if target.scheme != _FILE and (not target.host or not set(target.host) <= _NAME_CHARACTERS | {":"}):
        raise _invalid(place, f"{shown(target.host)} is no {_HOSTS.get(target.scheme, 'host')}")
    steps = target.path.split("/")
    if ".." in steps or "." in steps or "" in steps[:-1] or "\\" in target.path or not target.path.isprintable():
        raise _invalid(place, "its path has an empty step, `.`, `..` or a backslash")
    target.check_kind(target.kind)
    if target.kind is TargetKind.TABLE:
        return _checked_table(target, place)
    is_place = target.kind is not TargetKind.CONNECTION
    if is_place and target.path and not target.path.endswith("/"):
        # A prefix is a folder: nobody means `s3://bucket/runx5k2v…` by `s3://bucket/run`.
        return replace(target, path=f"{target.path}/")
    return target


_HOSTS = {"s3": "bucket", "gs": "bucket", "az": "container"}


def _checked_table(target: ExportTarget, place: str) -> ExportTarget:
    database, schema, table = target.table
    if not database or "/" in database:
        raise _invalid(place, "name the database and the table: postgresql://host/database/schema.table")
    if not table:
        schema, table = "public", schema
    for name in (schema, table):
        if not name or not set(name) <= _IDENTIFIER_CHARACTERS or name[0].isdigit() or len(name) > 63:
            raise _invalid(
                place, f"{shown(name)} is no name of a table: lower-case letters, digits and `_`, at most 63"
            )
    return replace(target, path=f"{database}/{schema}.{table}")


def _unsuited(kind: TargetKind) -> frozenset[str]:
    if kind is TargetKind.CONNECTION:
        return frozenset()
    return _ONLY_FILES if kind is TargetKind.TABLE else _ONLY_TABLES


def check_number(targets: Sequence[object]) -> None:
    """Raise `InvalidExportTarget` if a batch has too many exports, or two to the same place."""
    if len(targets) > MAX_EXPORTS:
        raise InvalidExportTarget(f"a batch has at most {MAX_EXPORTS} of {{0}}; these are {len(targets)}", "exports")
    places = [each.location for each in targets if isinstance(each, ExportTarget)]
    for place in places:
        if places.count(place) > 1:
            raise InvalidExportTarget(f"{{0}}: {escape_braces(place)} comes twice", "exports")


def _place(text: str) -> str:
    """Return what messages show of a target: its query may hold a secret, and so may a user name."""
    parts = urlsplit(text.partition("?")[0]) if "@" in text else None
    return text.partition("?")[0] if parts is None else f"{parts.scheme}://…"


def _invalid(value: object, problem: str) -> InvalidExportTarget:
    return InvalidExportTarget("{0}: " + escape_braces(f"{shown(value)}: {problem}"), "exports")
