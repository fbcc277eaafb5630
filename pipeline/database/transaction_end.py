"""What happens in this process after a transaction: calls that wait for its commit or its rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from sqlalchemy import Connection

_KEY = "pipeline.transaction_end"


class TransactionOutcome(StrEnum):
    """How a transaction ended."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    #: The answer to COMMIT was lost: it may have taken effect, or may still.
    UNKNOWN = "unknown"


class TransactionEnd:
    """The calls that wait for the end of one transaction. A transaction that is retried has another one each time."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[Mapping[TransactionOutcome, Callable[[], object]]] = []

    def call(
        self, *, commit: Callable[[], object], rollback: Callable[[], object], unknown: Callable[[], object]
    ) -> None:
        """Call `commit` after the commit, `rollback` after a rollback, or `unknown` if nobody knows which it was.

        It is called on the thread of the transaction, once that holds no lock and no connection. It must not raise.
        """
        self._calls.append(
            {
                TransactionOutcome.COMMITTED: commit,
                TransactionOutcome.ROLLED_BACK: rollback,
                TransactionOutcome.UNKNOWN: unknown,
            }
        )

    def run(self, outcome: TransactionOutcome) -> None:
        """Make the calls, in order."""
        for each in self._calls:
            each[outcome]()


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
