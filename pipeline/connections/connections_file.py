"""Reads `connections.toml`, which the operator writes: one table a connection."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.connections.connection import ConnectionUse, NamedConnection, NamedConnections
from pipeline.connections.schemes import SCHEMES
from pipeline.domain.bounds import shown
from pipeline.domain.did_you_mean import hint, list_names, quote_name
from pipeline.domain.tenant import DEFAULT_TENANT, check_tenant
from pipeline.domain.urls.connection_url import find_credentials, is_connection_name
from pipeline.errors import InvalidArgument, InvalidSettings

MAX_BYTES = 2**20


def read_connections(path: Path) -> NamedConnections:
    """Return the connections of a file.

    Raises:
        InvalidSettings: it cannot be read, or a connection in it cannot be used. Values are never shown.
    """
    text = _read(path)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{path}: {error}") from None
    lines = _Lines(text)
    return NamedConnections(
        {name: _Table(path, lines, name, table).connection() for name, table in tables.items()}, str(path)
    )


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettings(f"PIPELINE_CONNECTIONS names {str(path)!r}, which cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise InvalidSettings(f"{path} has {len(data):,} bytes; a file of connections has at most {MAX_BYTES:,}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{path} is not UTF-8 text (byte {error.start:,}); save it as UTF-8") from None


class _Lines:
    """Finds the line on which something is written: the parser tells lines only of faults in the syntax."""

    def __init__(self, text: str) -> None:
        self._lines = [line.strip() for line in text.splitlines()]

    def of(self, name: str, key: str | None = None) -> int | None:
        headers = {f"[{name}]", f'["{name}"]', f"['{name}']"}
        table = next((i for i, line in enumerate(self._lines) if line.partition("#")[0].strip() in headers), None)
        if table is None:
            # `name = …` or `name.key = …` at the top.
            return self._first(0, (name, f'"{name}"'))
        return table + 1 if key is None else self._first(table + 1, (key, f'"{key}"')) or table + 1

    def _first(self, start: int, names: tuple[str, ...]) -> int | None:
        for number, line in enumerate(self._lines[start:], start + 1):
            if line.partition("=")[0].partition(".")[0].strip() in names:
                return number
        return None


class _Table:
    """One table of the file. Messages name its line, and never show a value, which may be a secret."""

    def __init__(self, path: Path, lines: _Lines, name: str, values: Any) -> None:
        self._path, self._lines, self._name, self._values = path, lines, name, values

    def connection(self) -> NamedConnection:
        if not is_connection_name(self._name):
            raise self._unfit(
                "has a name that cannot stand in a URL; use lower-case letters, digits, hyphens and underscores"
            )
        if not isinstance(self._values, Mapping):
            raise self._unfit(f"is no table; write [{self._name}] and `url = …` below it")
        url = self._url()
        line = self._lines.of(self._name)
        return NamedConnection(self._name, url, self._uses(), self._options(url), line, self._tenants())

    def _url(self) -> str:
        url = self._values.get("url")
        if not isinstance(url, str) or "://" not in url:
            raise self._unfit('needs `url`, such as url = "amqps://mq.example.com/prod"', "url")
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES:
            raise self._unfit(f"has the unknown scheme {quote_name(scheme)}; known are {', '.join(SCHEMES)}", "url")
        secret = find_credentials(url)
        if secret is not None:
            raise self._unfit(f"has {secret} in its url; write secrets as keys of the table", "url")
        if scheme == "file" and not rest.startswith("/"):
            raise self._unfit("has no absolute path in its url; write file:///srv/exports", "url")
        if scheme != "file" and not rest.partition("/")[0].partition("?")[0]:
            raise self._unfit(f"has no host in its url; write {scheme}://HOST/…", "url")
        return url

    def _options(self, url: str) -> dict[str, str]:
        scheme = url.partition("://")[0]
        known = SCHEMES[scheme]
        options: dict[str, str] = {}
        for key, value in self._values.items():
            if key in ("url", "for", "tenants"):
                continue
            if key not in known:
                near = hint(key, known)
                raise self._unfit(
                    f"has the unknown key {quote_name(key)}{near}; {scheme} takes {list_names(known)}", key
                )
            if not isinstance(value, str) or not value:
                raise self._unfit(f"has no text in {key}; write one in quotes, or leave it out", key)
            options[key] = value
        return options

    def _uses(self) -> frozenset[ConnectionUse]:
        given = self._values.get("for")
        if given is None:
            return frozenset(ConnectionUse)
        known = [each.value for each in ConnectionUse]
        if not isinstance(given, list) or not given:
            raise self._unfit(f"has no list in `for`, or an empty one; choose from {', '.join(known)}", "for")
        for each in given:
            if each not in known:
                raise self._unfit(f"is for {shown(each)}, which does not exist; choose from {', '.join(known)}", "for")
        return frozenset(map(ConnectionUse, given))

    def _tenants(self) -> frozenset[str]:
        given = self._values.get("tenants", [DEFAULT_TENANT])
        try:
            # Not a text, whose letters would be names.
            found = frozenset(map(check_tenant, given if isinstance(given, list) else [given]))
        except InvalidArgument:
            found = frozenset()
        if not found or not isinstance(given, list):
            raise self._unfit(
                'has no list of tenants in `tenants`; write tenants = ["acme"], or ["*"] for all', "tenants"
            )
        return found

    def _unfit(self, problem: str, key: str | None = None) -> InvalidSettings:
        line = self._lines.of(self._name, key)
        where = str(self._path) if line is None else f"{self._path}, line {line}"
        return InvalidSettings(f"{where}: connection {quote_name(self._name)} {problem}")
