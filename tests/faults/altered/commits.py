"""Transactions whose commit fails, and those whose commit is done but never heard of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from pipeline.database.engine import Database
from tests.faults.altered.switch import strikes

#: Of all transactions that change rows.
CHANCE = 0.2


def alter() -> None:
    true_write = Database.write

    @contextmanager
    def write(self: Database) -> Iterator[Connection]:
        with true_write(self) as connection:
            yield connection
            if strikes("commits_fail", CHANCE):
                raise OperationalError("COMMIT", {}, ConnectionError("altered: the commit failed"))
        if strikes("commits_unheard", CHANCE):
            raise OperationalError("COMMIT", {}, ConnectionError("altered: the connection broke after the commit"))

    Database.write = write  # type: ignore[method-assign]
