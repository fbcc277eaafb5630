"""A connection: a URL without secrets, and options whose `${NAME}` are replaced only where it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from pipeline.connections.schemes import is_secret_option
from pipeline.domain.did_you_mean import hint
from pipeline.domain.tenant import ALL_TENANTS, DEFAULT_TENANT
from pipeline.domain.variables import expand_variables, find_variables
from pipeline.errors import InvalidSettings, NotFound

#: What stands for a secret in texts of other programs.
MASK = "***"
#: Shorter values are not searched for in texts: they would be found everywhere.
_LEAST_MASKED = 3


class ConnectionUse(StrEnum):
    """What a connection may be used for: an entry of its `for`."""

    SOURCES = "sources"
    INTAKES = "intakes"
    TARGETS = "targets"
    EXPORTS = "exports"


@dataclass(frozen=True, slots=True)
class OpenedConnection:
    """A connection with its secrets, for the code that opens a socket. Keep it out of rows, messages and logs.

    Args:
        name: of the connection.
        url: where to connect; never with credentials.
        options: by name, such as `username`, `password`, `region`.
    """

    name: str
    url: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    def mask(self, text: str) -> str:
        """Return a text of another program, such as a library's error, with this connection's secrets replaced."""
        for secret in self._secrets:
            text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
        return text


@dataclass(frozen=True, slots=True)
class NamedConnection:
    """A connection as the operator wrote it.

    Args:
        url: the base of what `conn://NAME/rest` means.
        uses: what it may be used for.
        options: as written; `${NAME}` stands for an environment variable.
        tenants: of the HTTP API that may send there; `*` is all of them.
        line: of the file, counted from 1.
    """

    name: str
    url: str
    uses: frozenset[ConnectionUse] = frozenset(ConnectionUse)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    line: int | None = None
    tenants: frozenset[str] = frozenset({DEFAULT_TENANT})

    def is_for(self, tenant: str) -> bool:
        """Return whether a tenant of the HTTP API may use it."""
        return not self.tenants.isdisjoint((tenant, ALL_TENANTS))

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    def variables(self) -> list[str]:
        """Return the environment variables that it needs, in the order in which they are written."""
        written = [self.url, *self.options.values()]
        return list(dict.fromkeys(name for text in written for name in find_variables(text)))

    def missing_variables(self, environment: Mapping[str, str] | None = None) -> list[str]:
        """Return the environment variables that it needs and that are not set, or empty."""
        given = os.environ if environment is None else environment
        return [name for name in self.variables() if not given.get(name)]

    def open(self, rest: str = "", environment: Mapping[str, str] | None = None) -> OpenedConnection:
        """Return the connection with its secrets. Call it only where a socket is about to open.

        Args:
            rest: what stands behind the name in `conn://NAME/rest`; its path is added to that of the URL.
            environment: the variables; None: those of this process.

        Raises:
            InvalidSettings: a variable is not set.
        """
        given = os.environ if environment is None else environment
        where = f"connection {self.name!r}"

        def expand(text: str) -> str:
            return expand_variables(text, where, given, InvalidSettings)

        options = {key: expand(text) for key, text in self.options.items()}
        secrets = {
            value
            for key, value in options.items()
            if len(value) >= _LEAST_MASKED and (is_secret_option(key) or value != self.options[key])
        }
        # The longest first: one may contain another.
        ordered = tuple(sorted(secrets, key=len, reverse=True))
        return OpenedConnection(self.name, join_rest(expand(self.url), rest), options, ordered)


def join_rest(url: str, rest: str) -> str:
    """Return a connection's URL with the rest of `conn://NAME/rest` behind its path, and both queries."""
    if not rest:
        return url
    base, _, base_query = url.partition("?")
    path, _, query = rest.partition("?")
    joined = f"{base.removesuffix('/')}/{path}" if path else base
    both = "&".join(filter(None, (base_query, query)))
    return f"{joined}?{both}" if both else joined


class NamedConnections:
    """The connections of this deployment, by name."""

    def __init__(self, found: Mapping[str, NamedConnection] | None = None, source: str | None = None) -> None:
        self._by_name = dict(found or {})
        #: The file they were read from; None: PIPELINE_CONNECTIONS is not set.
        self.source = source

    def __iter__(self) -> Iterator[NamedConnection]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"NamedConnections({', '.join(self._by_name)})"

    def get(self, name: str, use: ConnectionUse, *, tenant: str | None = None) -> NamedConnection:
        """Return a connection that may be used for something.

        Args:
            tenant: who asks; None: the operator. Other tenants than the default one learn no names.

        Raises:
            NotFound: there is none of that name for the tenant.
            InvalidSettings: it is not for this use.
        """
        found = self._by_name.get(name)
        if found is None and tenant in (None, DEFAULT_TENANT):
            raise NotFound(f"there is no connection {name!r}{self._advice(name)}")
        if found is None or not (tenant is None or found.is_for(tenant)):
            raise NotFound(f"there is no connection {name!r} for the tenant {tenant!r}")
        if use not in found.uses:
            meant = ", ".join(sorted(found.uses))
            raise InvalidSettings(
                f"connection {name!r} is for {meant}, not for {use}; its operator can add {use.value!r} to its `for`"
            )
        return found

    def _advice(self, name: str) -> str:
        if self.source is None:
            return "; name the file that defines it in PIPELINE_CONNECTIONS"
        return hint(name, self._by_name) or f" in {self.source}"
