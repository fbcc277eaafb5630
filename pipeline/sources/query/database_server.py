"""Opens a connection to the database of a source: read only, by the server's own rules."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput, PipelineError
from pipeline.sources.query.query_errors import explain_connect_error, explain_query_error
from pipeline.sources.query.query_values import UnreadableValue

#: The driver for each kind of database, and the extra that brings it, where SQLAlchemy's default is another.
_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "psycopg", ""),
    "mysql": ("mysql+pymysql", "pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "pymysql", "mysql"),
}
_MYSQL = frozenset({"mysql", "mariadb"})
CONNECT_SECONDS = 10
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class DatabaseServer:
    """A database to read from.

    Args:
        text: its URL.
        login: options of a connection: `username`, `password`, `sslmode`, `ca_file`; the driver looks for those that
            are missing where its users expect.
        name: of the database in messages; None: its URL without parameters.

    Raises:
        InvalidInput: the URL cannot be used, its driver is not installed, or the file of SQLite does not exist.
    """

    def __init__(self, text: str, *, login: Mapping[str, str] | None = None, name: str | None = None) -> None:
        given, login = _parse(text), login or {}
        #: The URL without secrets and parameters: what the database is.
        self.identity = given.set(username=None, password=None, query={}).render_as_string()
        #: What it is called in messages and in the database.
        self.name = name or self.identity
        #: SQLAlchemy's name of the kind of database.
        self.dialect = given.get_backend_name()
        driver = _DRIVERS.get(given.drivername)
        self._url = given if driver is None else given.set(drivername=driver[0])
        self._url = self._url.set(username=login.get("username"), password=login.get("password"))
        self._tls = {option: value for option in ("sslmode", "ca_file") if (value := login.get(option))}
        if self.dialect == "sqlite":
            self._url = _read_only_file(self._url)
        self._engine = self._make_engine()

    @property
    def has_json_as_text(self) -> bool:
        """Whether the driver returns JSON as text."""
        return self.dialect in _MYSQL

    def _make_engine(self) -> Engine:
        _require_driver(self._url)
        arguments = _connect_arguments(self.dialect, self._url) | _tls_arguments(self.dialect, self._tls)
        try:
            engine = create_engine(self._url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
        except (NoSuchModuleError, ImportError) as error:
            raise InvalidInput(f"{self._url.drivername}:// needs a driver that is not installed: {error}") from None
        if self.dialect in _ON_CONNECT:
            event.listen(engine, "connect", _ON_CONNECT[self.dialect])
        return engine

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection. Its transaction sees one state of the database, changes nothing, and is rolled back.

        Raises:
            SourceUnavailable: the server cannot be reached, or the connection is lost inside the block.
            InvalidInput: the server refuses a statement inside the block.
        """
        with self._opened() as connection, self._explained(explain_query_error):
            driver = connection.connection.driver_connection
            try:
                yield connection
            finally:
                if _abandon_rows(driver) and not connection.invalidated:
                    # What is on its way stays unread, so that the connection cannot be used again.
                    connection.invalidate()

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        with self._explained(explain_connect_error):
            connection = self._engine.connect()
        with connection:
            options = _TRANSACTIONS.get(self.dialect)
            if options is not None:
                connection.execution_options(**options)
            yield connection

    @contextmanager
    def _explained(self, explain: Callable[[DBAPIError, str, str], PipelineError]) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise explain(error, self.name, self.dialect) from error


def _parse(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise InvalidInput("the URL of the database cannot be read; expected postgresql://HOST/DATABASE") from None


def _require_driver(url: URL) -> None:
    for name, module, extra in _DRIVERS.values():
        if url.drivername == name and importlib.util.find_spec(module) is None:
            scheme = name.partition("+")[0]
            raise InvalidInput(f"{scheme}:// needs {module}: pip install 'pipeline[{extra}]'")


def _read_only_file(url: URL) -> URL:
    if not url.database:
        raise InvalidInput("sqlite:// names no file; give sqlite:///FILE, with four slashes for an absolute path")
    path = Path(url.database)
    if not path.is_file():
        near = hint(path.name, (each.name for each in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise InvalidInput(f"there is no SQLite database {url.database}{near}")
    return url.set(database=f"file:{quote(str(path.absolute()))}", query={"mode": "ro", "uri": "true"})


def _connect_arguments(dialect: str, url: URL) -> dict[str, Any]:
    match dialect:
        case "postgresql":
            return {"connect_timeout": CONNECT_SECONDS, "application_name": "pipeline", **_KEEPALIVES}
        case "mysql" | "mariadb":
            # As the client of MySQL does.
            file = Path.home() / ".my.cnf"
            options = {"read_default_file": str(file)} if file.is_file() else {}
            return {"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4"} | options | dict(url.query)
    return {}


def _tls_arguments(dialect: str, given: Mapping[str, str]) -> dict[str, Any]:
    if not given:
        return {}
    if dialect == "postgresql":
        return {{"ca_file": "sslrootcert"}.get(option, option): value for option, value in given.items()}
    return {"ssl": {"ca": given["ca_file"]}}


#: Execution options of a connection.
_TRANSACTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "mysql": {"isolation_level": "REPEATABLE READ"},
    "mariadb": {"isolation_level": "REPEATABLE READ"},
}


def _abandon_rows(driver: Any) -> bool:
    """Have pymysql believe that it has read every row: it would read the rest before it closes. Return whether it had
    not.
    """
    result = getattr(driver, "_result", None)
    if result is None or not getattr(result, "unbuffered_active", False):
        return False
    result.unbuffered_active = False
    return True


def _read_only_session(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def _read_only_sqlite(connection: Any, _: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def _keep_unreadable_values(connection: Any, _: object) -> None:
    """Have psycopg put an object in place of an instant that Python cannot represent, instead of failing."""
    from psycopg import DataError
    from psycopg.types import datetime as loaders

    for name, kind in (("date", "DateLoader"), ("timestamp", "TimestampLoader"), ("timestamptz", "TimestamptzLoader")):
        base: Any = getattr(loaders, kind)

        def load(self: Any, data: Any, base: Any = base) -> Any:
            try:
                return base.load(self, data)
            except DataError as error:
                return UnreadableValue(str(error))

        connection.adapters.register_loader(name, type(kind, (base,), {"load": load}))


_ON_CONNECT: dict[str, Callable[[Any, Any], None]] = {
    "postgresql": _keep_unreadable_values,
    "mysql": _read_only_session,
    "mariadb": _read_only_session,
    "sqlite": _read_only_sqlite,
}
