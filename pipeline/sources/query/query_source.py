"""The rows of a query as items, streamed by the server, and with an order column read on after any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, CursorResult, text

from pipeline.connections.connection import NamedConnection
from pipeline.domain import payload
from pipeline.domain.did_you_mean import hint, list_names
from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection, UnreadRecord
from pipeline.domain.urls.connection_url import refuse_credentials
from pipeline.errors import InvalidInput, NoItems
from pipeline.sources.item_source import ReadProgress
from pipeline.sources.query.database_server import DatabaseServer
from pipeline.sources.query.order_value import decode_order_value, encode_order_value
from pipeline.sources.query.query_text import check_query, escape_binds
from pipeline.sources.query.query_values import PLAIN, UnfitValue, ValueConverter
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.text.csv_header import distinct_names
from pipeline.sources.unused_options import refuse_unused_of_query
from pipeline.sources.url import SourceUrl

#: Rows fetched at once.
FETCH_ROWS = 1_000
#: Of a statement, not of its connection: there, even SET TRANSACTION would be declared as a cursor.
_STREAMED = {"stream_results": True, "yield_per": FETCH_ROWS}
#: Type code of JSON in MySQL, which its driver returns as text.
_MYSQL_JSON = 245


def open_items(url: SourceUrl, options: ReadOptions, report: ReadReport) -> QuerySource:
    """Return the rows of `options.query` on a database. It is not connected to yet.

    Raises:
        InvalidInput: there is no query, or the URL cannot be used, for example because it holds a password.
    """
    refuse_credentials(url.text, name="the URL of the database")
    _check_options(options, f"{url.scheme}://")
    return QuerySource(DatabaseServer(url.text), options, report)


def open_connected(connection: NamedConnection, rest: str, options: ReadOptions, report: ReadReport) -> QuerySource:
    """Return the rows of `options.query` on the database that a connection leads to. It is not connected to yet.

    Args:
        rest: what stands behind the name in `conn://NAME/rest`: the database, if the connection names only a server.

    Raises:
        InvalidSettings: a variable of the connection is not set.
        InvalidInput: there is no query, or the connection cannot be used for one.
    """
    shown = f"conn://{connection.name}"
    _check_options(options, shown)
    opened = connection.open(rest)
    name = f"{shown}/{rest}" if rest else shown
    return QuerySource(DatabaseServer(opened.url, login=opened.options, name=name), options, report)


def _check_options(options: ReadOptions, shown: str) -> None:
    if not options.query:
        raise InvalidInput(f"{shown} is a database: say what to read from it with --query 'SELECT …'")
    refuse_unused_of_query(options, shown)


class _Place(NamedTuple):
    """Where reading has come: the rows before, and the value of the order column in the last one."""

    row: int
    value: Any


class QuerySource:
    """The rows of one query.

    Args:
        server: where it runs.
        options: `query`, `order_by`, and how values are read.
        report: takes warnings.

    Raises:
        InvalidInput: the query is no SELECT.
    """

    def __init__(self, server: DatabaseServer, options: ReadOptions, report: ReadReport) -> None:
        self._server, self._options, self._report = server, options, report
        self._query = check_query(options.query or "")
        self._order_by = options.order_by

    @property
    def name(self) -> str:
        return self._options.name or self._server.name

    def describe(self) -> dict[str, Any]:
        return {"names": [self._server.name], "options": self._options.describe()}

    def fingerprint(self) -> str | None:
        if self._order_by is None:
            return None
        return hashlib.sha256(orjson.dumps((self._server.identity, self._query, self._order_by))).hexdigest()

    def progress(self) -> ReadProgress:
        return ReadProgress()

    def read(self, after: InputCursor | None = None) -> Generator[Record | Rejection, None, None]:
        place = _Place(0, None)
        if after is not None and after.after is not None:
            place = _Place(after.row, decode_order_value(after.after))
        with self._server.connect() as connection:
            if self._order_by is None:
                rows = self._records(connection, escape_binds(self._query), {}, None, place)
            else:
                rows = self._ordered(connection, self._order_by, place)
            first = next(rows, None)
            if first is None and not place.row:
                raise NoItems(f"no items in {self.name}: the query has no rows")
            if first is not None:
                yield first
                yield from rows

    def _ordered(self, connection: Connection, order_by: str, place: _Place) -> Iterator[Record | Rejection]:
        rows_of_query = f"SELECT * FROM ({self._query}\n) q"
        column = _find_column(connection, rows_of_query, order_by)
        key = escape_binds(f"q.{connection.dialect.identifier_preparer.quote(column)}")
        rows_of_query = escape_binds(rows_of_query)
        after = f" WHERE {key} > :after" if place.row else ""
        values = {"after": place.value} if place.row else {}
        yield from self._records(connection, f"{rows_of_query}{after} ORDER BY {key}", values, column, place)
        if place.row and connection.scalar(text(f"SELECT count(*) FROM ({rows_of_query}) q WHERE {key} IS NULL")):
            # No comparison finds these rows.
            encode_order_value(column, None)

    def _records(
        self, connection: Connection, statement: str, values: Mapping[str, Any], order_by: str | None, place: _Place
    ) -> Iterator[Record | Rejection]:
        with connection.execute(text(statement).execution_options(**_STREAMED), values) as result:
            if not result.returns_rows:
                raise InvalidInput("the query returns no rows: SELECT … INTO stores them elsewhere")
            keys = list(result.keys())
            names = distinct_names(keys, self._options.header, self._warn)
            json = _json_columns(result, names) if self._server.has_json_as_text else frozenset()
            converter = _RowConverter(names, json, self._options, self.name)
            order = None if order_by is None else _Order(order_by, keys.index(order_by), place)
            for number, row in enumerate(_rows(result), place.row + 1):
                yield converter.convert(number, row, None if order is None else order.after(number, row))

    def _warn(self, message: str) -> None:
        self._report.warn(f"{self.name}: {message}")


class _RowConverter:
    """Makes items of rows.

    Args:
        names: of the columns.
        json: names of the columns whose values are JSON as text.
        name: of the source.
    """

    def __init__(self, names: Sequence[str], json: frozenset[str], options: ReadOptions, name: str) -> None:
        self._names, self._json, self._name = names, json, name
        self._max_bytes = options.max_bytes
        self._values = ValueConverter(options)

    def convert(self, number: int, row: Sequence[Any], after: InputCursor | None) -> Record | Rejection:
        """Return a row as a record, or as a rejection if a value has no form in JSON.

        Raises:
            InvalidInput: no value of that type has.
        """
        item = dict(zip(self._names, row, strict=True))
        problem = None
        for name, value in item.items():
            if type(value) not in PLAIN or name in self._json:
                try:
                    item[name] = self._convert(name, value)
                except UnfitValue as error:
                    problem = problem or f"column {name!r} holds {error}"
                except InvalidInput as error:
                    raise InvalidInput(f"{self._name}: column {name!r} holds {error}") from None
        try:
            encoded = payload.encode_bytes(item, max_bytes=self._max_bytes)
        except InvalidInput as error:
            problem = problem or str(error)
        if problem is None:
            return Record(number, item, encoded, after=after)
        return UnreadRecord(number, problem, payload.to_text(item), after=after)

    def _convert(self, name: str, value: Any) -> Any:
        if name in self._json and isinstance(value, str):
            return orjson.loads(value)
        return self._values.convert(value)


class _Order:
    """Says where reading goes on after each row.

    Args:
        column: the order column.
        index: of the column in a row.
        place: where reading begins.
    """

    def __init__(self, column: str, index: int, place: _Place) -> None:
        self._column, self._index = column, index
        self._last = place.value

    def after(self, number: int, row: Sequence[Any]) -> InputCursor:
        """Return the place after a row.

        Raises:
            InvalidInput: the row before has the same value.
        """
        value = row[self._index]
        if value == self._last and number > 1:
            raise InvalidInput(f"column {self._column!r} is not unique: {value} comes twice; order by a key")
        self._last = value
        return InputCursor(row=number, after=encode_order_value(self._column, value))


def _rows(result: CursorResult[Any]) -> Iterator[Sequence[Any]]:
    # Without a size, all rows would be fetched at once.
    for part in result.partitions(FETCH_ROWS):
        yield from part


def _find_column(connection: Connection, rows_of_query: str, wanted: str) -> str:
    """Return the name of the column, which may be written in another case.

    Raises:
        InvalidInput: the query has no such column.
    """
    names: list[str] = list(connection.execute(text(escape_binds(f"{rows_of_query} WHERE 1 = 0"))).keys())
    found = [name for name in names if name == wanted] or [name for name in names if name.lower() == wanted.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"the query has {len(found)} columns called {wanted!r}; name the one to order by with AS")
    known = hint(wanted, names) or f"; it has {list_names(names)}"
    raise InvalidInput(f"the query has no column {wanted!r} to order by{known}")


def _json_columns(result: CursorResult[Any], names: Sequence[str]) -> frozenset[str]:
    """Return the columns whose JSON the driver returns as text."""
    described = result.cursor.description if result.cursor is not None else None
    columns = zip(names, described or (), strict=described is not None)
    return frozenset(name for name, column in columns if column[1] == _MYSQL_JSON)
