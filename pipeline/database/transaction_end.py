"""What happens in this process after a transaction: calls that wait for its commit or its rollback."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

_KEY = "pipeline.transaction_end"


class TransactionEnd:
    """The calls that wait for the end of one transaction. A transaction that is retried has another one each time."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[[], object], Callable[[], object]]] = []

    def call(self, *, commit: Callable[[], object], rollback: Callable[[], object]) -> None:
        """Call `commit` after the commit, or `rollback` if the transaction was rolled back or may have been.

        Both are called on the thread of the transaction, once it holds no lock and no connection. They must not raise.
        """
        self._calls.append((commit, rollback))

    def run(self, *, has_committed: bool) -> None:
        """Make the calls, in order."""
        for commit, rollback in self._calls:
            (commit if has_committed else rollback)()


def begin(connection: Connection) -> TransactionEnd:
    """Return the end of the transaction that begins on a connection."""
    end = connection.info[_KEY] = TransactionEnd()
    return end


def close(connection: Connection) -> None:
    """Take no further calls: the transaction is about to end, and the next one of the connection has its own end."""
    if not connection.invalidated and not connection.closed:
        connection.info.pop(_KEY, None)


def transaction_end(connection: Connection) -> TransactionEnd | None:
    """Return the end of the transaction that `Database.write` opened on a connection.

    None for other transactions, and inside a savepoint, whose rollback is not the transaction's.
    """
    if connection.in_nested_transaction():
        return None
    found: TransactionEnd | None = connection.info.get(_KEY)
    return found
