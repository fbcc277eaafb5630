"""PostgreSQL's planner settings: ours for our own statements, the server's for a user's code in our transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Select, func, select, text

#: The settings that our own statements need.
PLANNER = {
    # Compiling a statement takes longer than running any of our statements.
    "jit": "off",
    # An index serves each of our statements, in the order in which the statement is given rows, which is the order in
    # which they are locked. Stale statistics, as after each large submission, must not lead to another plan.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A plain index scan marks entries of dead rows, and the next scan skips them. A bitmap scan reads them every time,
    # and an item leaves five behind before the table is vacuumed.
    "enable_bitmapscan": "off",
}

_READ = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")


def read_planner(connection: Connection) -> dict[str, str]:
    """Return the planner settings of a session, by name."""
    return {name: setting for name, setting in connection.execute(_READ, {"names": list(PLANNER)})}


class UserPlanner:
    """Gives a user's code the planner settings that a session of the user's own would have.

    Args:
        ours: the settings of our sessions.
        users: the settings of a session on which we set none.
    """

    def __init__(self, ours: Mapping[str, str], users: Mapping[str, str]) -> None:
        differing = [name for name in users if users[name] != ours.get(name)]
        self._enter = _set_local({name: users[name] for name in differing})
        # All of them: the user's code may have changed others.
        self._leave = _set_local(ours if differing else {})

    @contextmanager
    def __call__(self, connection: Connection) -> Iterator[None]:
        """Apply the user's settings inside the block, which is part of a transaction.

        If the block raises, the transaction has to be rolled back, which undoes them as well.
        """
        if self._enter is not None:
            connection.execute(self._enter)
        yield
        if self._leave is not None:
            connection.execute(self._leave)


def _set_local(settings: Mapping[str, str]) -> Select[tuple[str, ...]] | None:
    """Return one statement that sets all of these until the transaction ends, or None if there are none."""
    if not settings:
        return None
    return select(*(func.set_config(name, setting, True) for name, setting in settings.items()))
