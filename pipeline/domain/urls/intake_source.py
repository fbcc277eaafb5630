"""Where the messages of an intake come from: a Redis stream, or an outbox table in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from pipeline.domain.did_you_mean import quote_name
from pipeline.domain.urls.connection_url import find_credentials, is_connection_url, split_connection_url
from pipeline.domain.urls.host import UrlProblem, parse_host, parse_port, split_url
from pipeline.errors import InvalidArgument, escape_braces

REDIS_PORT = 6379
POSTGRESQL_PORT = 5432
_READABLE = "intakes read redis://HOST/DATABASE/STREAM, postgresql://HOST/DATABASE/TABLE and conn://NAME/…"


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """A Redis stream."""

    host: str
    port: int
    has_tls: bool
    database: int
    stream: str

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.stream


@dataclass(frozen=True, slots=True)
class OutboxPlace:
    """A table whose rows are messages.

    Args:
        schema: None: the first of the search path.
        mark: the column that is set for rows that were accepted; None: they are deleted.
    """

    host: str
    port: int
    database: str
    schema: str | None
    table: str
    mark: str | None = None

    @property
    def name(self) -> str:
        """What an intake that reads it is called unless it has a name."""
        return self.table


IntakePlace = StreamPlace | OutboxPlace


def split_lines(url: str) -> tuple[str, bool]:
    """Return the URL of a source without `?lines`, and whether it had that: each line of a message is an item."""
    address, _, query = url.partition("?")
    given = query.split("&") if query else []
    kept = "&".join(each for each in given if each not in ("lines", "lines="))
    return (f"{address}?{kept}" if kept else address), len(given) > len(kept.split("&") if kept else [])


def check_intake_source(url: str) -> None:
    """Check the URL of a source as somebody wrote it; that of a connection is not known yet.

    Raises:
        InvalidArgument: it contains credentials, or names nothing that messages are read from.
    """
    try:
        secret = find_credentials(url)
        if secret is not None:
            raise UrlProblem(f"contains {secret}; put it into a connection: PIPELINE_CONNECTIONS")
        if is_connection_url(url):
            split_connection_url(url)
            return
        _parse(url)
    except UrlProblem as problem:
        raise _invalid(url, problem) from None


def parse_intake_place(url: str, shown: str) -> IntakePlace:
    """Return what a URL without `conn://` names.

    Args:
        shown: the URL that messages name.

    Raises:
        InvalidArgument: messages are not read from there.
    """
    try:
        return _parse(url)
    except UrlProblem as problem:
        raise _invalid(shown, problem) from None


def _invalid(url: str, problem: UrlProblem) -> InvalidArgument:
    shown = quote_name(url.partition("?")[0].rpartition("@")[2])
    return InvalidArgument("{0} " + escape_braces(f"{shown} {problem}"), "SOURCE")


def _parse(url: str) -> IntakePlace:
    parts = split_url(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = [unquote(each) for each in parts.path.removeprefix("/").split("/")]
    match parts.scheme:
        case "redis" | "rediss":
            _refuse_unknown(given, ())
            if len(path) != 2 or not path[0].isdecimal() or not path[1]:
                raise UrlProblem(
                    "does not name a stream; write redis://HOST/DATABASE/STREAM, such as redis://h/0/tickets"
                )
            port = parse_port(parts, REDIS_PORT)
            return StreamPlace(parse_host(parts.netloc), port, parts.scheme == "rediss", int(path[0]), path[1])
        case "postgresql":
            _refuse_unknown(given, ("mark",))
            if len(path) != 2 or not all(path):
                raise UrlProblem("does not name a table; write postgresql://HOST/DATABASE/SCHEMA.TABLE")
            schema, _, table = path[1].rpartition(".")
            host, port = parse_host(parts.netloc), parse_port(parts, POSTGRESQL_PORT)
            return OutboxPlace(host, port, path[0], schema or None, table, given.get("mark") or None)
    raise UrlProblem(f"has the scheme {parts.scheme!r}; {_READABLE}")


def _refuse_unknown(given: dict[str, str], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UrlProblem(f"has the parameter {quote_name(name)}; {takes}")
