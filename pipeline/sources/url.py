"""What a source may be called: a path, `-`, or a URL, whose scheme decides which module opens it.

A module is imported when a URL of its scheme is used, so that no client library is loaded, or needed, before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

STDIN = "-"


class SchemeKind(StrEnum):
    """What the module of a scheme provides."""

    #: `find_files(url: SourceUrl, access: SourceAccess) -> list[SourceFile]`: expands prefixes and globs.
    FILES = "files"
    #: `open_items(url: SourceUrl, options: ReadOptions, report: ReadReport) -> ItemSource`.
    ITEMS = "items"


class Scheme(NamedTuple):
    """Who opens URLs of a scheme.

    Args:
        kind: what the module provides.
        module: its name; it has the function that `kind` names.
        library: what it imports that the base installation lacks; empty: nothing.
        extra: the extra that brings the library.
    """

    kind: SchemeKind
    module: str
    library: str = ""
    extra: str = ""


_OBJECTS = Scheme(SchemeKind.FILES, "pipeline.sources.stores.objects", library="obstore", extra="objects")
_SQL = Scheme(SchemeKind.ITEMS, "pipeline.sources.query.query_source")
#: To add a scheme, add a line here and the module it names. A dialect of SQLAlchemy may name its driver behind a `+`.
SCHEMES: dict[str, Scheme] = {
    "https": Scheme(SchemeKind.FILES, "pipeline.sources.web.https"),
    "conn": Scheme(SchemeKind.FILES, "pipeline.sources.stores.connected"),
    **dict.fromkeys(
        ("s3", "gs", "az"),
        Scheme(SchemeKind.FILES, "pipeline.sources.stores.objects", library="obstore", extra="objects"),
    ),
    **dict.fromkeys(("postgresql", "mysql", "mariadb", "sqlite", "oracle", "mssql"), _SQL),
}
#: Schemes by what they are called in messages.
_SOURCES = "sources are files, https, s3, gs, az, SQL and conn"
#: One letter is a drive of Windows.
_MIN_SCHEME = 2


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A URL of a source.

    Args:
        text: as it was given. It may hold a signature in its query: not for messages.
        parts: of `text`; `scheme` is in lower case.
    """

    text: str
    parts: SplitResult

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    @property
    def shown(self) -> str:
        """The URL for messages and for the database: a query may be a signature, so it is left out."""
        return self.parts._replace(query="…" if self.parts.query else "", fragment="").geturl()

    @property
    def path(self) -> str:
        """The path with escapes such as `%20` decoded."""
        return unquote(self.parts.path)

    def __repr__(self) -> str:
        return f"SourceUrl({self.shown!r})"


def parse_location(text: str) -> SourceUrl | str:
    """Return the URL that `text` is, or the path; `-` is standard input, and `file://` is a path.

    Raises:
        InvalidInput: the scheme is unknown, the URL has a user name, or it cannot be parsed.
    """
    scheme, separator, _ = text.partition("://")
    if not separator or len(scheme) < _MIN_SCHEME or not _is_scheme(scheme):
        return text
    try:
        parts = urlsplit(text)
        # Parsed when it is asked for.
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"the URL of the source cannot be read: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            f"the URL {parts.scheme}://…@{parts.hostname or ''} has a user name; credentials do not belong in a "
            "command line, where other users of the machine can read them"
        )
    if parts.scheme == "file":
        return _path_of(parts)
    if _scheme(parts.scheme) is None:
        raise InvalidInput(f"unknown scheme {parts.scheme!r}{hint(parts.scheme, SCHEMES)}; {_SOURCES}")
    return SourceUrl(text, parts)


def load_opener(url: SourceUrl) -> tuple[SchemeKind, Callable[..., Any]]:
    """Import the module for the URL's scheme and return its function, which `SchemeKind` describes.

    Raises:
        InvalidInput: the library that it needs is not installed.
    """
    scheme = _scheme(url.scheme) or _SQL
    try:
        module = importlib.import_module(scheme.module)
    except ModuleNotFoundError as error:
        if not scheme.library or error.name is None or error.name.partition(".")[0] != scheme.library:
            raise
        raise InvalidInput(f"{url.scheme}:// needs {scheme.library}: pip install 'pipeline[{scheme.extra}]'") from None
    name = "find_files" if scheme.kind is SchemeKind.FILES else "open_items"
    found: Callable[..., Any] = getattr(module, name)
    return scheme.kind, found


def _scheme(name: str) -> Scheme | None:
    """Return who opens URLs of a scheme; None: nobody."""
    dialect = name.partition("+")[0]
    found = SCHEMES.get(dialect)
    if found is None:
        return _SQL if _is_dialect(dialect) else None
    # Only databases have drivers.
    return found if found is _SQL or dialect == name else None


def _is_dialect(name: str) -> bool:
    """Return whether a package is installed with which SQLAlchemy speaks to databases of this name."""
    from sqlalchemy.dialects import registry
    from sqlalchemy.exc import NoSuchModuleError

    try:
        registry.load(name)
    except (NoSuchModuleError, ImportError):
        return False
    return True


def _is_scheme(text: str) -> bool:
    return text[0].isalpha() and text.isascii() and all(char.isalnum() or char in "+-." for char in text)


def _path_of(parts: SplitResult) -> str:
    if parts.netloc not in ("", "localhost"):
        raise InvalidInput(f"file://{parts.netloc}/… names another machine; give file:///path")
    return unquote(parts.path)
