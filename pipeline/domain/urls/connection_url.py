"""URLs without secrets: `conn://NAME/rest` for what the operator named, and the refusal of credentials in any URL."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.domain.did_you_mean import quote_name
from pipeline.domain.urls.host import UrlProblem
from pipeline.errors import InvalidArgument, escape_braces

SCHEME = "conn"
_PREFIX = f"{SCHEME}://"
MAX_NAME_LENGTH = 63
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")

#: Parameters of a query that hold secrets, in lower case, and how others of them begin or end.
_SECRET_PARAMETERS = frozenset(
    {"auth", "credential", "key_id", "passwd", "password", "pwd", "sas", "secret", "sig", "signature", "sslpassword"}
    | {"token", "user", "username", "api_key", "apikey", "sslkey", "login"}
)
_SECRET_PREFIXES = ("aws_access", "aws_secret", "aws_session", "x-amz-", "x-goog-")
_SECRET_SUFFIXES = ("_password", "_secret", "_token", "_secret_key", "_access_key", "_account_key")


class ConnectionUrl(NamedTuple):
    """A parsed `conn://NAME/rest`.

    Args:
        name: of the connection.
        rest: path and query behind the name, without a slash at its beginning; empty for the connection itself.
    """

    name: str
    rest: str

    @property
    def origin(self) -> str:
        """`conn://NAME`, which names the connection in rows, logs and messages."""
        return f"{_PREFIX}{self.name}"

    def __str__(self) -> str:
        return f"{self.origin}/{self.rest}" if self.rest else self.origin


def is_connection_url(url: str) -> bool:
    """Return whether a URL names a connection."""
    return url.startswith(_PREFIX)


def parse_connection_url(url: str, *, name: str = "the URL") -> ConnectionUrl:
    """Return the parts of `conn://NAME/rest`.

    Args:
        name: what messages call the URL.

    Raises:
        InvalidArgument: it is none, or its rest could lead out of what the connection names.
    """
    try:
        return split_connection_url(url)
    except UrlProblem as problem:
        raise InvalidArgument("{0} " + escape_braces(f"{_shown(url)} {problem}"), name) from None


def split_connection_url(url: str) -> ConnectionUrl:
    """Return the parts of `conn://NAME/rest`.

    Raises:
        UrlProblem: as `parse_connection_url` refuses it.
    """
    if not is_connection_url(url):
        raise UrlProblem("is not a URL of a connection; write conn://NAME/rest")
    path, mark, query = url.removeprefix(_PREFIX).partition("?")
    connection, _, rest = path.partition("/")
    _check_name(connection)
    _check_rest(rest)
    return ConnectionUrl(connection, f"{rest}{mark}{query}")


def is_connection_name(name: str) -> bool:
    """Return whether a connection may have this name: lower-case letters, digits, hyphens and underscores."""
    return 0 < len(name) <= MAX_NAME_LENGTH and _NAME_CHARACTERS.issuperset(name) and name[0] not in "-_"


def refuse_credentials(url: str, *, name: str = "the URL") -> None:
    """Refuse a URL with a user name, a password or another secret: it would be stored, logged and shown.

    Raises:
        InvalidArgument: it has one. The message shows neither.
    """
    secret = find_credentials(url)
    if secret is not None:
        advice = "put the password into a connection: PIPELINE_CONNECTIONS"
        raise InvalidArgument("{0} " + escape_braces(f"contains {secret}; {advice}"), name)


def find_credentials(url: str) -> str | None:
    """Return what kind of secret a URL contains, such as `a user name or password`; None if it contains none."""
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
    if "@" in parts.netloc:
        return "a user name or password"
    secret = next((key for key, _ in given if _is_secret(key.strip().lower())), None)
    return None if secret is None else f"the parameter {quote_name(secret)}"


def _is_secret(key: str) -> bool:
    return key in _SECRET_PARAMETERS or key.startswith(_SECRET_PREFIXES) or key.endswith(_SECRET_SUFFIXES)


def _check_name(name: str) -> None:
    if not is_connection_name(name):
        raise UrlProblem(
            "does not begin with the name of a connection: lower-case letters, digits, hyphens and underscores"
        )


def _check_rest(path: str) -> None:
    # Twice: some stores decode what a library has decoded.
    decoded = unquote(unquote(path))
    if not decoded.isprintable():
        raise UrlProblem("contains a control character; remove it")
    if path.startswith("/") or decoded.startswith("/"):
        raise UrlProblem("has two slashes behind the name of its connection; remove one")
    if "\\" in decoded:
        raise UrlProblem("contains a backslash; write a slash")
    if ".." in decoded.split("/"):
        raise UrlProblem("contains '..'; a connection cannot be left")
    if "://" in decoded:
        raise UrlProblem("names another host behind its connection; write what is there alone")


def _shown(url: str) -> str:
    return quote_name(url.partition("?")[0].rpartition("@")[2])
