"""What a database says when it does not answer a query, and whether to try again."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError

from pipeline.errors import InvalidInput, PipelineError, SourceUnavailable

#: SQLSTATEs of PostgreSQL, or how they begin, that pass: connection failures, access refused, too many connections, out
#: of resources, cancelled or shut down, in conflict with recovery, idle for too long.
_POSTGRESQL = ("08", "28", "53", "57", "40001", "25P03", "58")
#: Errors of MySQL and MariaDB that pass: access denied, too many connections, shutting down, locked for too long,
#: cancelled, killed, too slow.
_MYSQL = frozenset({1040, 1045, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927, 1969, 3024})
#: Errors of a client of MySQL: the server is gone, or cannot be reached.
_MYSQL_CLIENT = range(2000, 3000)
_SQLITE = ("database is locked", "disk I/O error", "database table is locked")


def explain_query_error(error: DBAPIError, name: str, dialect: str) -> PipelineError:
    """Return the error to raise for what a database has said.

    Args:
        name: of the database in messages.
        dialect: SQLAlchemy's name of it.

    Returns:
        `SourceUnavailable` if the same query may succeed later, else `InvalidInput`.
    """
    said = _reason(error)
    if error.connection_invalidated or _passes(error, dialect):
        return SourceUnavailable(f"{name} cannot be read to its end ({said}); run the same command again")
    return InvalidInput(f"{name} refuses the query: {said}")


def explain_connect_error(error: DBAPIError, name: str, dialect: str) -> PipelineError:
    """Return the error to raise if a database cannot be connected to; see `explain_query_error`."""
    said = _reason(error)
    advice = "; run the same command again"
    if any(word in said.lower() for word in _ACCESS):
        advice = _CREDENTIALS.get(dialect, "")
    return SourceUnavailable(f"{name} cannot be reached ({said}){advice}")


#: Words of errors about who may connect, and where credentials are taken from.
_ACCESS = ("password", "denied", "role", "authentication")
_CREDENTIALS = {
    "postgresql": "; PGUSER and PGPASSWORD, ~/.pgpass or a connection of PIPELINE_CONNECTIONS hold the credentials",
    "mysql": "; ~/.my.cnf or a connection of PIPELINE_CONNECTIONS hold the credentials",
    "mariadb": "; ~/.my.cnf or a connection of PIPELINE_CONNECTIONS hold the credentials",
}


def _passes(error: DBAPIError, dialect: str) -> bool:
    cause = error.orig
    match dialect:
        case "postgresql":
            state = getattr(cause, "sqlstate", None)
            # Without one, the server was not reached, or no longer.
            return isinstance(error, OperationalError) if state is None else state.startswith(_POSTGRESQL)
        case "mysql" | "mariadb":
            code = cause.args[0] if cause is not None and cause.args else None
            return code in _MYSQL or code in _MYSQL_CLIENT or (code == 0 and "closed" in _reason(error))
        case "sqlite":
            return str(cause).startswith(_SQLITE)
    return isinstance(error, OperationalError)


def _reason(error: DBAPIError) -> str:
    """Return what the server says, without details that may quote values."""
    cause = error.orig
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    if primary is None and cause is not None and len(cause.args) > 1:
        # Of MySQL: code and message.
        primary = cause.args[1]
    return " ".join(str(primary or cause).split()) or type(error).__name__
