"""Makes a PostgreSQL database of a test what its template is: a fresh copy costs ten times as much."""

from __future__ import annotations

import psycopg
from psycopg import sql

#: Up to this size, the planner takes a table that was never analyzed for one of ten pages, be it empty or not.
_SMALL_BYTES = 10 * 8_192

#: How often to look again for connections: PostgreSQL hears of the end of one a moment later.
_LOOKS = 50

_OTHERS = """
SELECT count(*), pg_sleep(0.002) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type IN ('client backend', 'autovacuum worker')
"""

#: What no test may leave behind other than it was, and cannot be undone as cheaply: definitions and statistics.
_FINGERPRINT = """
SELECT
    (SELECT string_agg(version_num, ',') FROM alembic_version),
    (SELECT md5(string_agg(concat_ws(' ', oid, relname, relkind, reloptions, relhastriggers), ',' ORDER BY oid))
     FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    (SELECT md5(string_agg(concat_ws(' ', attrelid, attnum, pg_attribute.xmin), ',' ORDER BY attrelid, attnum))
     FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace),
    (SELECT count(*) FROM pg_statistic JOIN pg_class ON pg_class.oid = starelid
     WHERE relnamespace = 'public'::regnamespace),
    (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
    (SELECT count(*) FROM pg_namespace),
    (SELECT count(*) FROM pg_db_role_setting)
"""

_TABLES = """
SELECT relname, pg_table_size(oid) > %s OR reltuples >= 0 FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
    AND pg_relation_size(oid) > 0
"""

_SEQUENCES = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
WHERE last_value IS NOT NULL
"""

Fingerprint = tuple[object, ...]


def fingerprint(url: str) -> Fingerprint:
    """Return what distinguishes a database from one with other definitions, settings or statistics."""
    with psycopg.connect(url) as connection:
        return _fingerprint(connection)


def reset(url: str, expected: Fingerprint) -> bool:
    """Empty a database as if it were a fresh copy of its template; False where only a fresh copy is.

    A table that has grown is truncated, which leaves nothing of it; of a small one, rows are deleted, which costs less
    and is the same to the planner.
    """
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            if _is_in_use(connection) or _fingerprint(connection) != expected:
                return False
            # Rows go in any order: none is left that another could refer to.
            connection.execute("SET session_replication_role = replica")
            for name, has_grown in connection.execute(_TABLES, [_SMALL_BYTES]).fetchall():
                statement = sql.SQL("TRUNCATE {} CASCADE" if has_grown else "DELETE FROM {}")
                connection.execute(statement.format(sql.Identifier(name)))
            connection.execute(_SEQUENCES)
            # Deadlocks are counted there, and what autovacuum has to do.
            connection.execute("SELECT pg_stat_reset()")
    except psycopg.Error:
        return False
    return True


def _is_in_use(connection: psycopg.Connection) -> bool:
    """Say whether somebody is still connected, who might change something during the next test."""
    for _ in range(_LOOKS):
        found = connection.execute(_OTHERS).fetchone()
        if found is None or found[0] == 0:
            return False
    return True


def _fingerprint(connection: psycopg.Connection) -> Fingerprint:
    return connection.execute(_FINGERPRINT).fetchone() or ()
